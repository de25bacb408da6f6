"""Removes the gates of a pruned BERT and writes the compact model.

Usage: flop-remove-mask --checkpoint=runs/pruned --output_folder_dir=runs/compact
"""

from flop_tools import data_flags, flag_types, program

from absl import flags

from bert_tf.checkpoints import model_dir
from bert_tf.methods.flop import stages
from bert_tf.ranges import SHARE_BELOW_1

FLAGS = flags.FLAGS


def main(_):
    """Removes the masks of the checkpoint that FLAGS name."""
    with program.output_folder(FLAGS.output_folder_dir, model_dir.INFO_FILE) as folder:
        if folder is not None:
            stages.remove_mask(
                FLAGS.checkpoint,
                folder,
                config_file=FLAGS.bert_config_file,
                threshold=FLAGS.threshold,
                data_dir=data_flags.data_dir(),
                tfds=FLAGS.tfds,
                task_name=FLAGS.task_name,
            )


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("bert_config_file", None, "BERT config, if not in the checkpoint's folder.")
    flags.DEFINE_string("checkpoint", None, "Model directory of the gated model.", required=True)
    flags.DEFINE_string("output_folder_dir", None, "Folder for the compact model.", required=True)
    flag_types.define_number(
        "threshold", 0.0, "Inference gates up to it are dropped.", SHARE_BELOW_1, float
    )
    flags.DEFINE_string("data_dir", "", "Sentences to compare both models on; of the checkpoint.")
    flags.DEFINE_string("task_name", "", "Task of --data_dir; of the checkpoint.")
    data_flags.define()
    program.define_output_flags()


def run():
    """Entry point of `flop-remove-mask`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
