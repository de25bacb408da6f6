"""SavedModel, in the layout of TensorFlow Serving: a folder whose name is the version."""

import collections
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import tensorflow as tf

from bert_tf.serving.formats.limits import Limits
from flop_tf import processes

#: Where TensorFlow Serving looks for requests that it answers before the first client.
WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")

_SCRIPT = pathlib.Path(__file__).with_name("fresh_process.py")


class SavedModel:
    """The signatures of a `ServedModel` with weights and, as assets, vocabulary and labels."""

    limits = Limits(largest_difference=1e-5)
    signatures = ("serving_default", "text")
    has_texts = True
    packages = ("tensorflow_serving",)
    file = "saved_model.pb"

    def write(self, served, folder):
        """Writes `saved_model.pb` and `variables` into a folder.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
          folder: the folder, which may hold other files.
        """
        tf.saved_model.save(served, folder, signatures=served.signatures())

    def run(self, folder, requests):
        """Answers requests in a process of its own that knows nothing of this project.

        Args:
          folder: of `write`.
          requests: list of `(signature, {name: array})`.

        Returns:
          List of `{name: array}`, texts as NumPy strings.

        Raises:
          ValueError: if the process fails.
        """
        with tempfile.TemporaryDirectory() as scratch:
            asked, answered = (os.path.join(scratch, f"{name}.npz") for name in ("in", "out"))
            np.savez(asked, **_flat(requests))
            command = processes.command(str(_SCRIPT), folder, asked, answered)
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
                raise ValueError(f"The SavedModel cannot be used in a fresh process: {reason}.")
            answers = collections.defaultdict(dict)
            with np.load(answered) as file:
                for key in file:
                    index, name = key.split("/")
                    answers[int(index)][name] = file[key]
        return [answers[index] for index in range(len(requests))]

    def load(self, folder):
        """Returns a function `{name: array} -> {name: array}`.

        Raises:
          ValueError: if the SavedModel is damaged.
        """
        import tensorflow_text  # noqa: F401  Its operations are in the graph.

        try:
            # The signature goes with its model, which must not be collected.
            model = tf.saved_model.load(folder)
        # Checkpoints that are cut off are Python's own errors.
        except (IndexError, OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            raise ValueError(f"The SavedModel {folder!r} cannot be loaded: {error}.") from error

        def answer(inputs):
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            answers = model.signatures["serving_default"](**tensors)
            return {name: tensor.numpy() for name, tensor in answers.items()}

        return answer

    def files(self, folder):
        """Returns the paths of graph and weights."""
        variables = os.path.join(folder, "variables")
        return [os.path.join(folder, self.file)] + [
            os.path.join(variables, name) for name in os.listdir(variables)
        ]


def write_warmup(path, requests, model_name):
    """Writes requests that TensorFlow Serving answers once when it loads the model.

    Args:
      path: of the file, `WARMUP_FILE` in the SavedModel's folder.
      requests: list of `(signature, {name: array})`.
      model_name: the name that the model is served under.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(path) as file:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            log = prediction_log_pb2.PredictLog(request=request)
            file.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def _flat(requests):
    return {
        f"{index}/{signature}/{name}": np.asarray(array)
        for index, (signature, inputs) in enumerate(requests)
        for name, array in inputs.items()
    }
