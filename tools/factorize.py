r"""Factorizes the projections of a dense BERT by SVD.

Usage:
  flop-factorize --checkpoint=runs/dense --finetuned --output_dir=runs/factorized \
    --task_name=sst-2 --data_dir=SST-2
"""

from flop_tools import option_flags, program

from absl import flags

from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import CalibrationOptions, FactorizeOptions
from bert_tf.option_fields import names

FLAGS = flags.FLAGS

_WITH_DATA, _WITHOUT_DATA = "data", "a factorization without `--data_dir`"
_FLAGS_OF = {
    _WITHOUT_DATA: (),
    _WITH_DATA: [one for one in names(CalibrationOptions) if one not in ("data_dir", "tfds")],
}


def main(_):
    """Factorizes the checkpoint that FLAGS name."""
    has_data = FLAGS.init or FLAGS.data_dir or FLAGS.tfds
    program.check_mode(_WITH_DATA if has_data else _WITHOUT_DATA, _FLAGS_OF)
    options = option_flags.read(FactorizeOptions)
    option_flags.carry_out(stages.factorize, options, model_dir.INFO_FILE)


def define_flags():
    """Defines the flags of this program."""
    option_flags.define(FactorizeOptions, ("checkpoint", "output_dir"), "Flag `--{}`")


def run():
    """Entry point of `flop-factorize`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
