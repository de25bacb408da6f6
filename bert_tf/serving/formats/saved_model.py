"""SavedModel, in the layout of TensorFlow Serving: a folder whose name is the version."""

import os

import tensorflow as tf

from bert_tf.serving.formats.format import FORMATS, Format
from bert_tf.serving.formats.limits import Limits

#: Where TensorFlow Serving looks for requests that it answers before the first client.
WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


class SavedModel(Format):
    """The signatures of a `ServedModel` with weights and, as assets, vocabulary and labels."""

    file = "saved_model.pb"
    limits = Limits(largest_difference=1e-5)
    signatures = ("serving_default", "text")
    has_texts = True
    is_program = True
    packages = ("tensorflow_serving",)
    choices = ("fused_layer_norm", "einsum_attention")

    def write(self, served, folder):
        """Writes `saved_model.pb` and `variables`, see `Format`."""
        tf.saved_model.save(served, folder, signatures=served.signatures())

    def path(self, folder):
        """Returns the folder."""
        return folder

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
