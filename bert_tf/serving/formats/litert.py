"""LiteRT (TensorFlow Lite): one file for phones and small devices."""

import os

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError


class LiteRT:
    """The function of ids with its float outputs; batch and length stay variable.

    Args:
      precision: "float32", "float16" for weights of half the size, or "int8" for weights
        of a quarter and products in integers, whose scales are found while they run.
    """

    signatures = ("serving_default",)
    packages = ("ai_edge_litert",)

    def __init__(self, precision):
        self.precision = precision
        self.tolerance = {"float32": 1e-4, "float16": 1e-1, "int8": 1.0}[precision]
        self.file = f"model_{precision}.tflite"

    def write(self, served, folder):
        """Writes the file into a folder.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
          folder: where to write.

        Raises:
          ValueError: if LiteRT has no such operation as the model needs.
        """
        function = served.portable_numbers.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], served)
        if self.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            data = converter.convert()
        except ConverterError as error:
            missing = sorted({one.operator.name.removeprefix("tf.") for one in error.errors})
            what = f"operation {', '.join(missing)} of the model" if missing else f"model: {error}"
            raise ValueError(f"LiteRT cannot hold the {what[:300]}; leave it out.") from error
        with open(os.path.join(folder, self.file), "wb") as file:
            file.write(data)

    def run(self, folder, requests):
        """Answers requests by LiteRT's interpreter.

        Args:
          folder: of `write`.
          requests: list of `(signature, {name: array})`; there is one signature.

        Returns:
          List of `{name: array}`.
        """
        answer = self.load(folder)
        return [answer(inputs) for _, inputs in requests]

    def load(self, folder):
        """Returns a function `{name: array} -> {name: array}` with TensorFlow's threads."""
        from ai_edge_litert.interpreter import Interpreter

        path = os.path.join(folder, self.file)
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
        runner = Interpreter(path, num_threads=threads).get_signature_runner()
        return lambda inputs: runner(**inputs)

    def files(self, folder):
        """Returns the paths of what `write` made."""
        return [os.path.join(folder, self.file)]
