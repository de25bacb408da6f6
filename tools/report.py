"""Gathers a folder of runs into report.md, report.json and report.html.

Usage: flop-report --runs_dir=runs/sweep
"""

from flop_tools import program

from absl import flags

from bert_tf.studies.sweeps import report, report_page

FLAGS = flags.FLAGS


def main(_):
    """Reports on the runs that FLAGS name and prints the first tables."""
    folder = FLAGS.output_dir or FLAGS.runs_dir
    print(report_page.write(report.gather(FLAGS.runs_dir), folder), end="")


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("runs_dir", None, "Folder with runs in it, at any depth.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the report; by default runs_dir.")


def run():
    """Entry point of `flop-report`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
