"""SavedModel, in the layout of TensorFlow Serving: a folder whose name is the version."""

import collections
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import tensorflow as tf

from bert_tf.serving.formats.format import FORMATS, Format
from bert_tf.serving.formats.limits import Limits
from flop_tf import processes

#: Where TensorFlow Serving looks for requests that it answers before the first client.
WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")

_SCRIPT = pathlib.Path(__file__).with_name("fresh_process.py")


class SavedModel(Format):
    """The signatures of a `ServedModel` with weights and, as assets, vocabulary and labels."""

    file = "saved_model.pb"
    limits = Limits(largest_difference=1e-5)
    signatures = ("serving_default", "text")
    has_texts = True
    is_program = True
    packages = ("tensorflow_serving",)

    def write(self, served, folder):
        """Writes `saved_model.pb` and `variables`, see `Format`."""
        tf.saved_model.save(served, folder, signatures=served.signatures())

    def run(self, folder, requests):
        """Returns the answers of a process that knows nothing of this project, see `Format`."""
        with tempfile.TemporaryDirectory() as scratch:
            given, answered = (os.path.join(scratch, f"{name}.npz") for name in ("in", "out"))
            np.savez(given, **_flat(requests))
            command = processes.command(str(_SCRIPT), folder, given, answered)
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
        """Returns a function of ids for this process, see `Format`."""
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
        paths = [os.path.join(variables, name) for name in os.listdir(variables)]
        return [*super().files(folder), *paths]

    def is_at(self, path):
        """Returns whether a path is `saved_model.pb` or the folder that holds it."""
        return super().is_at(path) or os.path.isfile(os.path.join(path, self.file))

    def warm_up(self, folder, requests, model_name):
        """Writes `WARMUP_FILE`, which TensorFlow Serving reads when it loads the model."""
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

        with tf.io.TFRecordWriter(os.path.join(folder, WARMUP_FILE)) as file:
            for signature, inputs in requests:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, array in inputs.items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
                log = prediction_log_pb2.PredictLog(request=request)
                file.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


FORMATS.register("saved_model")(SavedModel())


def _flat(requests):
    return {
        f"{index}/{signature}/{name}": np.asarray(array)
        for index, (signature, inputs) in enumerate(requests)
        for name, array in inputs.items()
    }
