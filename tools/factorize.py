"""Factorizes the projections of a dense BERT by SVD.

Usage:
  flop-factorize --checkpoint=runs/dense --finetuned --output_dir=runs/factorized \
    --task_name=sst-2 --data_dir=SST-2
"""

from flop_tools import data_flags, flag_types, program

from absl import flags

from bert_tf import ranges
from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.ranges import ABOVE_0, FROM_0, FROM_1, SEED, SEQUENCE_LENGTH

FLAGS = flags.FLAGS

_WITH_DATA, _WITHOUT_DATA = "data", "a factorization without `--data_dir`"
_FLAGS_OF = {
    _WITHOUT_DATA: (),
    _WITH_DATA: """
        task_name text_columns label_column label_type quoting language calibration_batches
        holdout_examples holdout_seed max_seq_length
    """.split(),
}


def main(_):
    """Factorizes the checkpoint that FLAGS name."""
    has_data = FLAGS.init or FLAGS.data_dir or FLAGS.tfds
    program.check_mode(_WITH_DATA if has_data else _WITHOUT_DATA, _FLAGS_OF)
    with program.output_folder(FLAGS.output_dir, model_dir.INFO_FILE) as folder:
        if folder is not None:
            _factorize(folder)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("bert_config_file", None, "BERT config, if not beside the checkpoint.")
    flags.DEFINE_string("checkpoint", None, "Dense BERT, any format.", required=True)
    flags.DEFINE_string("vocab_file", None, "Vocabulary, if not beside the checkpoint.")
    flags.DEFINE_bool("do_lower_case", None, "Uncased vocabulary; else the checkpoint says so.")
    flags.DEFINE_string("output_dir", None, "Folder for the factorized model.", required=True)
    flags.DEFINE_bool("finetuned", False, "Carries the task head over.")
    flags.DEFINE_string("rank", "full", "Ranks of every projection: full or a number.")
    flag_types.define_number(
        "density", None, "Ranks as a multiple of the break-even rank instead.", ABOVE_0, float
    )
    flags.DEFINE_string("init", "", "svd, whitened or fisher; whitened with data, else svd.")
    flags.DEFINE_string("task_name", "", "Task of the calibration data; of the checkpoint.")
    flags.DEFINE_string("data_dir", "", "Its folder.")
    data_flags.define()
    flags.DEFINE_string("text_columns", None, "Task tsv: one or two columns, with a comma between.")
    flags.DEFINE_string("label_column", None, "Task tsv: name of the label's column.")
    flags.DEFINE_string("label_type", None, "Task tsv: what a label is, class or number; class.")
    flags.DEFINE_string("quoting", None, "Task tsv: minimal, or none if quotes mean nothing.")
    flags.DEFINE_string("language", None, "Task xnli: its language, two letters; en.")
    define = flag_types.define_number
    define("calibration_batches", 32, "Batches of 32 of it for the statistics.", FROM_1)
    define("holdout_examples", 0, "Training examples that are not among them.", FROM_0)
    define("holdout_seed", 0, "Which ones, as in flop-finetune.", SEED)
    define(
        "max_seq_length",
        None,
        "Longest input in WordPieces; that of the training, or 128.",
        SEQUENCE_LENGTH,
    )
    define("seed", 0, "Of the choice of examples and of a new task head.", SEED)
    flags.DEFINE_string("mask", "", "Mask file: factorizes the model under this mask.")
    program.define_output_flags()


def run():
    """Entry point of `flop-factorize`."""
    program.run(main, define_flags)


def _factorize(folder):
    stages.factorize(
        FLAGS.checkpoint,
        folder,
        config_file=FLAGS.bert_config_file,
        vocab_file=FLAGS.vocab_file,
        do_lower_case=FLAGS.do_lower_case,
        finetuned=FLAGS.finetuned,
        rank=_rank(FLAGS.rank),
        density=FLAGS.density,
        init=FLAGS.init,
        task_name=FLAGS.task_name,
        data_dir=data_flags.data_dir(),
        tfds=FLAGS.tfds,
        text_columns=FLAGS.text_columns,
        label_column=FLAGS.label_column,
        label_type=FLAGS.label_type,
        quoting=FLAGS.quoting,
        language=FLAGS.language,
        calibration_batches=FLAGS.calibration_batches,
        holdout_examples=FLAGS.holdout_examples,
        holdout_seed=FLAGS.holdout_seed,
        max_seq_length=FLAGS.max_seq_length,
        seed=FLAGS.seed,
        mask=FLAGS.mask,
    )


def _rank(text):
    if text == "full":
        return text
    try:
        return ranges.parse("Argument `rank`", text, int, FROM_1)
    except ValueError as error:
        raise ValueError(
            f"Argument `rank` must be 'full' or a number from 1 on, received {text!r}."
        ) from error


if __name__ == "__main__":
    run()
