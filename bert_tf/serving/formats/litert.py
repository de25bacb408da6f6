"""LiteRT (TensorFlow Lite): one file for phones and small devices."""

import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from bert_tf.serving.formats.format import FORMATS
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.single_file import SingleFile

_LIMITS = {
    "float32": Limits(largest_difference=1e-4),
    "float16": Limits(percentile_99=0.01, largest_angle=0.001, flips=0.01, lost_points=0.5),
    # The 99th percentile of working files is .002 to .07; 1 % of other labels is 1 point at most.
    "int8": Limits(percentile_99=0.25, largest_angle=0.1, flips=0.01, lost_points=1),
}
# Bytes of a number, and in addition of an output channel: a float32 scale, an int64 zero point.
_BYTES = {"float32": (4, 0), "float16": (2, 0), "int8": (1, 12)}


class LiteRT(SingleFile):
    """A `.tflite` file.

    Args:
      precision: "float32", "float16" for weights of half the size, or "int8" for weights
        of a quarter and products in integers, whose scales are found while they run.
    """

    family = "LiteRT"

    def __init__(self, precision):
        self.precision = precision
        self.limits = _LIMITS[precision]
        self.weight_bytes, self.channel_bytes = _BYTES[precision]
        self.file = f"model_{precision}.tflite"

    def convert(self, served):
        """See `SingleFile`."""
        function = served.portable_numbers.get_concrete_function()
        variables = tf.Module()  # What else `served` has would be traced and stored for nothing.
        variables.weights = served.weights
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], variables)
        if self.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()

    def missing(self, error):
        """See `SingleFile`."""
        errors = error.errors if isinstance(error, ConverterError) else ()
        return sorted({one.operator.name.removeprefix("tf.") for one in errors})


for _precision in _LIMITS:
    FORMATS.register(f"litert_{_precision}")(LiteRT(_precision))
