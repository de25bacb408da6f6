"""Finds tickets in a fine-tuned BERT: masks of heads, FFNs, neurons or weights.

Usage:
  flop-find-tickets --model_dir=runs/dense --output_dir=runs/tickets
  flop-find-tickets --model_dir=runs/dense --output_dir=runs/lottery --method=lottery
"""

from flop_tools import option_flags, program

from absl import logging

from bert_tf.methods.tickets import finding, ticket_file
from bert_tf.methods.tickets.find_options import FindOptions


def main(_):
    """Finds what FLAGS name."""
    options = option_flags.read(FindOptions)
    if found := option_flags.carry_out(finding.find, options, ticket_file.TICKETS_FILE):
        for ticket in found["tickets"]:
            share = 100 * ticket["share_of_parameters"]
            logging.info("%s: %.1f %% of the parameters", ticket["file"], share)


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(FindOptions)


def run():
    """Entry point of `flop-find-tickets`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
