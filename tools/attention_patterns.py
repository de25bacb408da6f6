r"""Attention maps of a BERT, a classifier of their patterns, and the patterns of its heads.

Usage:
  flop-attention-patterns --attention --model_dir=runs/dense --output_dir=runs/maps
  flop-attention-patterns --train_patterns --labels=labels.tsv --maps=runs/maps/normed.npz \
    --kind=normed --output_dir=runs/patterns
  flop-attention-patterns --patterns=runs/patterns/classifier --model_dir=runs/dense \
    --mask=runs/lottery/masks/good.safetensors --output_dir=runs/shares
"""

import json

from flop_tools import data_flags, flag_types, program

from absl import flags

from bert_tf.option_fields import names
from bert_tf.ranges import FROM_1, SEED
from bert_tf.studies.attention import attention_study
from bert_tf.tasks.model_task import ModelDataOptions

FLAGS = flags.FLAGS

_WHAT = ("attention", "train_patterns", "patterns")
_DATA = (*names(ModelDataOptions), "tfds_data_dir", "tfds_download")

# The modes, and the flags that not all of them have.
_FLAGS_OF = {
    "--attention": ("attention", "model_dir", "num_texts", *_DATA),
    "--train_patterns": ("train_patterns", "labels", "maps", "kind", "epochs"),
    "--patterns": ("patterns", "model_dir", "mask", "num_texts", *_DATA),
}


def main(_):
    """Runs the one mode that FLAGS name and prints its results as JSON."""
    modes = [name for name in _WHAT if FLAGS[name].value]
    if len(modes) != 1:
        raise ValueError(
            "One of `--attention`, `--train_patterns` and `--patterns` is needed, received "
            f"{modes or 'none'}."
        )
    program.check_mode(f"--{modes[0]}", _FLAGS_OF)
    needed = ("labels", "maps") if FLAGS.train_patterns else ("model_dir",)
    if missing := [name for name in needed if not FLAGS[name].value]:
        raise ValueError(f"Flag `--{missing[0]}` is needed by `--{modes[0]}`, received nothing.")
    doing = {"attention": _save_maps, "train_patterns": _train, "patterns": _find_patterns}
    with program.output_folder(FLAGS.output_dir) as folder:
        print(json.dumps(doing[modes[0]](folder), indent=2))


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_bool("attention", False, "Saves attention maps and entropies of dev texts.")
    flags.DEFINE_bool("train_patterns", False, "Trains a classifier of patterns.")
    flags.DEFINE_string("patterns", "", "Classifier that names the patterns of a model's heads.")
    flag_types.define_names(
        "model_dir", [], "BERT; for `--patterns` also several seeds of one task."
    )
    flag_types.define_names(
        "mask", [], "For `--patterns`: a mask file for each of them.", distinct=False
    )
    data_flags.define(names(ModelDataOptions))
    define = flag_types.define_number
    define("num_texts", None, "Dev texts; 10, for `--patterns` 100.", FROM_1)
    flags.DEFINE_string("labels", "", "For `--train_patterns`: file with the labels of maps.")
    flags.DEFINE_string("maps", "", "For `--train_patterns`: folder of NAME.npy, or an .npz.")
    flags.DEFINE_enum("kind", "raw", list(attention_study.KINDS), "What these maps are.")
    define("epochs", 200, "For `--train_patterns`: passes over the maps.", FROM_1)
    define("seed", 0, "Random seed.", SEED)
    flags.DEFINE_string("output_dir", None, "Folder for the files.", required=True)
    program.define_output_flags()


def run():
    """Entry point of `flop-attention-patterns`."""
    program.run(main, define_flags)


def _save_maps(folder):
    if len(FLAGS.model_dir) > 1:
        raise ValueError(
            f"Flag `--model_dir` must name one model for `--attention`, received {FLAGS.model_dir}."
        )
    (examined,) = _examined()
    data = attention_study.save_maps(examined, folder, FLAGS.num_texts or 10, FLAGS.seed)
    return {"entropy": data["entropy"]}


def _train(folder):
    return attention_study.train_patterns(
        FLAGS.labels, FLAGS.maps, folder, FLAGS.kind, epochs=FLAGS.epochs, seed=FLAGS.seed
    )


def _find_patterns(folder):
    return attention_study.find_patterns(
        FLAGS.patterns, _examined(), FLAGS.mask, folder, FLAGS.num_texts or 100, FLAGS.seed
    )


def _examined():
    data_dir = data_flags.data_dir()
    return [
        attention_study.Examined(one, FLAGS.task_name, data_dir, FLAGS.tfds, FLAGS.max_seq_length)
        for one in FLAGS.model_dir
    ]


if __name__ == "__main__":
    run()
