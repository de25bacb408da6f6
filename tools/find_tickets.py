"""Finds tickets in a fine-tuned BERT: masks of heads, FFNs, neurons or weights.

Usage:
  flop-find-tickets --model_dir=runs/dense --output_dir=runs/tickets
  flop-find-tickets --model_dir=runs/dense --output_dir=runs/lottery --method=lottery
"""

import dataclasses

from flop_tools import data_flags, program

from absl import logging

from bert_tf.methods.tickets import finding, ticket_file
from bert_tf.methods.tickets.find_options import FindOptions


def main(_):
    """Finds what FLAGS name."""
    options = program.dataclass_from_flags(FindOptions, data_dir=data_flags.data_dir())
    with program.output_folder(options.output_dir, ticket_file.TICKETS_FILE) as folder:
        if folder is not None:
            options = dataclasses.replace(options, output_dir=folder)
            for ticket in finding.find(options)["tickets"]:
                share = 100 * ticket["share_of_parameters"]
                logging.info("%s: %.1f %% of the parameters", ticket["file"], share)


def define_flags():
    """Defines the flags of this program."""
    program.define_dataclass(FindOptions)
    data_flags.define()
    program.define_output_flags()


def run():
    """Entry point of `flop-find-tickets`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
