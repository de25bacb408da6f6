"""Scores a model at any stage and writes its predictions as GLUE and SQuAD want them.

Usage: flop-evaluate --model_dir=runs/compact --data_dir=SST-2 --output_dir=runs/scores
"""

import contextlib
import dataclasses
import json

from flop_tools import data_flags, program

from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions


def main(_):
    """Scores the model that FLAGS name and prints the scores as JSON."""
    options = program.dataclass_from_flags(EvaluateOptions, data_dir=data_flags.data_dir())
    with contextlib.ExitStack() as stack:
        if options.output_dir:
            folder = stack.enter_context(program.output_folder(options.output_dir))
            options = dataclasses.replace(options, output_dir=folder)
        scores = stages.evaluate(options)
    print(json.dumps(scores, indent=2))


def define_flags():
    """Defines the flags of this program."""
    program.define_dataclass(EvaluateOptions, required=("model_dir",), subject="Flag `--{}`")
    data_flags.define()
    program.define_output_flags()


def run():
    """Entry point of `flop-evaluate`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
