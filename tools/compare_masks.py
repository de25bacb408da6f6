"""Compares masks of one model: how much of what they keep is the same, over all and by layer.

Usage: flop-compare-masks --masks=trained=a.safetensors,magnitude=b.safetensors --output_dir=runs/c
"""

import os

from flop_tools import flag_types, program

from absl import flags

from bert_tf.studies.masks import mask_comparison
from flop_tf import files

FLAGS = flags.FLAGS


def main(_):
    """Compares the masks that FLAGS name, prints the table and writes it."""
    names, paths = map(list, zip(*map(_named, FLAGS.masks), strict=True))
    if len(set(names)) < len(names):
        raise ValueError(
            f"Argument `masks` must give each file a name of its own, NAME=FILE, received {names}."
        )
    compared = mask_comparison.compare(names, mask_comparison.read(paths))
    text = mask_comparison.table(compared)
    if FLAGS.output_dir:
        with program.output_folder(FLAGS.output_dir) as folder:
            files.write_bytes(os.path.join(folder, "masks.png"), mask_comparison.heatmap(compared))
            files.write_text(os.path.join(folder, "masks.md"), text)
            files.write_json(os.path.join(folder, "masks.json"), compared)
    print(text)


def define_flags():
    """Defines the flags of this program."""
    flag_types.define_names(
        "masks", None, "Mask files with commas, or NAME=FILE.", distinct=False, required=True
    )
    flags.DEFINE_string("output_dir", "", "Folder for masks.md, masks.json and masks.png; none.")
    program.define_output_flags()


def _named(text):
    """Returns name and path of FILE or NAME=FILE; a path may have a "=" too."""
    name, equals, path = text.partition("=")
    if not equals or os.path.exists(text):
        name, path = "", text
    return name or os.path.splitext(os.path.basename(path))[0], path


def run():
    """Entry point of `flop-compare-masks`."""
    program.run(main, define_flags)


if __name__ == "__main__":
    run()
