"""Scores a model at any stage and writes its predictions as GLUE and SQuAD want them.

Usage: flop-evaluate --model_dir=runs/compact --data_dir=SST-2 --output_dir=runs/scores
"""

import json

from flop_tools import option_flags, program

from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions


def main(_):
    """Scores the model that FLAGS name and prints the scores as JSON."""
    options = option_flags.read(EvaluateOptions)
    if options.output_dir:
        scores = option_flags.carry_out(stages.evaluate, options, done_file=None)
    else:
        scores = stages.evaluate(options)
    print(json.dumps(scores, indent=2))


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(EvaluateOptions, ("model_dir",), "Flag `--{}`")


def run():
    """Entry point of `flop-evaluate`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
