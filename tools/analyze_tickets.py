r"""Reports on tickets of several tasks and seeds: agreement, survival, overlap, sizes, scores.

Usage:
  flop-analyze-tickets --tickets_dirs=runs/lottery --output_dir=runs/lottery_study
  flop-analyze-tickets --tickets_dirs=runs/tickets --method=super --ticket=winning-14-1 \
    --output_dir=runs/tickets_study

What all seeds of a task keep is written to TASK/masks, with bad and random masks of its size.
"""

from flop_tools import flag_types, program

from absl import flags

from bert_tf.methods.tickets import finding
from bert_tf.ranges import SEED
from bert_tf.studies.tickets import ticket_study

FLAGS = flags.FLAGS


def main(_):
    """Reports on the tickets that FLAGS name and prints the tables."""
    if not FLAGS.tickets_dirs:
        raise ValueError("Flag `--tickets_dirs` must name at least one folder, received none.")
    with program.output_folder(FLAGS.output_dir) as folder:
        text = ticket_study.study(
            FLAGS.tickets_dirs,
            folder,
            method=FLAGS.method,
            name=FLAGS.ticket,
            patterns=FLAGS.patterns,
            seed=FLAGS.seed,
        )
    print(text, end="")


def define_flags():
    """Defines the flags of this program."""
    flag_types.define_names(
        "tickets_dirs", [], "Folders of flop-find-tickets or flop-train-tickets, of any tasks."
    )
    flags.DEFINE_enum("method", "lottery", list(finding.KINDS), "Method that found the tickets.")
    flags.DEFINE_string("ticket", "good", "Name of the tickets: good, winning-14-1, ...")
    flag_types.define_names(
        "patterns", [], "Files patterns.json of flop-attention-patterns, to show."
    )
    flag_types.define_number("seed", 0, "Seed of the bad and random masks.", SEED)
    flags.DEFINE_string("output_dir", None, "Folder for report and masks.", required=True)
    program.define_output_flags()


def run():
    """Entry point of `flop-analyze-tickets`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
