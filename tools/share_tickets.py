r"""Puts the tickets of tasks together to train them in one encoder, and takes a task out again.

Usage:
  flop-share-tickets --tickets=RTE=runs/rte,STS-B=runs/stsb/masks/winning-14-1.safetensors,MNLI= \
    --output_dir=runs/shared
  flop-share-tickets --model_dir=runs/multi --task=RTE --output_dir=runs/multi_rte
"""

from flop_tools import program

from absl import flags, logging

from bert_tf.checkpoints import model_dir
from bert_tf.methods.tickets import sharing

FLAGS = flags.FLAGS


def main(_):
    """Does what FLAGS name."""
    if bool(FLAGS.tickets) == bool(FLAGS.model_dir) or bool(FLAGS.model_dir) != bool(FLAGS.task):
        raise ValueError(
            "Either `--tickets`, or `--model_dir` and `--task`, are needed, received "
            f"{FLAGS.tickets!r}, {FLAGS.model_dir!r} and {FLAGS.task!r}."
        )
    done_file = sharing.SHARED_FILE if FLAGS.tickets else model_dir.INFO_FILE
    with program.output_folder(FLAGS.output_dir, done_file) as folder:
        if folder is None:
            return
        if FLAGS.tickets:
            data = sharing.share(FLAGS.tickets, folder)
            tasks = ", ".join(data["tasks"])
            for kind, count in data["mean_removed"].items():
                logging.info("%s: %d removed on average over %s", kind, count, tasks)
            print(sharing.command(data, folder))
        else:
            difference = sharing.cut(FLAGS.model_dir, FLAGS.task, folder)
            logging.info("%s: its logits differ by at most %.2e", FLAGS.task, difference)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string(
        "tickets",
        "",
        "TASK=path with commas: a mask file, a folder of flop-find-tickets or flop-train-tickets; "
        "without a path everything is kept.",
    )
    flags.DEFINE_string("model_dir", "", "Model of several tasks, to cut to one.")
    flags.DEFINE_string("task", "", "The task to keep.")
    flags.DEFINE_string("output_dir", "", "Folder for the masks, or for the model of the task.")
    program.define_output_flags()


def run():
    """Entry point of `flop-share-tickets`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
