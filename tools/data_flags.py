"""Flags of the programs that read a task: its published files, or TensorFlow Datasets."""

from flop_tools import program

from absl import flags

from bert_tf.tasks import tfds_data
from bert_tf.tasks.model_task import ModelDataOptions

FLAGS = flags.FLAGS


def define(names=("tfds",)):
    """Defines the flags that go with `--tfds`, and fields of `ModelDataOptions` that are no flags.

    Args:
      names: of these fields.
    """
    missing = set(names) - set(FLAGS)
    program.define_dataclass(ModelDataOptions, names=missing, subject="Flag `--{}`")
    flags.DEFINE_string("tfds_data_dir", None, "Folder of TFDS; TFDS_DATA_DIR or its own default.")
    flags.DEFINE_bool("tfds_download", False, "Downloads the data set if it is not prepared.")


def data_dir():
    """Returns the folder of the data: `--data_dir`, or the folder of TFDS with `--tfds`.

    With `--tfds_download` the data set is downloaded where it is not prepared.

    Raises:
      ValueError: if the flags exclude each other or the data set cannot be downloaded.
    """
    if not FLAGS.tfds:
        for name in ("tfds_data_dir", "tfds_download"):
            if FLAGS[name].value:
                raise ValueError(f"Flag `--{name}` needs `--tfds`, the name of a data set.")
        return FLAGS.data_dir
    if FLAGS.data_dir:
        raise ValueError(
            "Flags `--data_dir` and `--tfds` exclude each other; the folder of TFDS is "
            "`--tfds_data_dir`."
        )
    folder = tfds_data.folder(FLAGS.tfds_data_dir)
    if FLAGS.tfds_download:
        tfds_data.download(FLAGS.tfds, folder)
    return folder
