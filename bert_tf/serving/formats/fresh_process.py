"""Answers requests by a SavedModel as a client would, with TensorFlow and tensorflow-text alone.

Usage: fresh_process.py FOLDER REQUESTS.npz ANSWERS.npz

Arrays of requests are named `number/signature/input`, arrays of answers `number/output`.
"""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Read when TensorFlow is imported.

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401  Its operations are in the graph.


def main(folder, requests, answers):
    """Reads the requests, answers each one by the signature that it names, writes the answers.

    Args:
      folder: path of the SavedModel.
      requests: path of the file to read.
      answers: path of the file to write.
    """
    signatures = tf.saved_model.load(folder).signatures
    inputs_of, given = {}, {}
    with np.load(requests) as file:
        for key in file:
            number, signature, name = key.split("/")
            array = file[key]
            value = tf.constant(array.tolist()) if array.dtype.kind == "U" else tf.constant(array)
            inputs_of.setdefault((number, signature), {})[name] = value
    for (number, signature), inputs in inputs_of.items():
        for name, value in signatures[signature](**inputs).items():
            array = value.numpy()
            given[f"{number}/{name}"] = array if array.dtype != object else array.astype(np.bytes_)
    np.savez(answers, **given)


if __name__ == "__main__":
    main(*sys.argv[1:])
