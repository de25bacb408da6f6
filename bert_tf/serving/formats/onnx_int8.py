"""ONNX with kernels and word embeddings in int8: a quarter of the bytes, products in integers."""

from bert_tf.serving.formats.format import FORMATS
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.onnx import Onnx


class OnnxInt8(Onnx):
    """An `.onnx` file with a scale for each output channel, found from the weights alone.

    Args:
      float_layers: names in `layers` of the layers that stay in float; default none.
    """

    file = "model_int8.onnx"
    limits = Limits(percentile_99=0.5, largest_angle=0.1, flips=0.01, lost_points=0.5)
    weight_bytes, channel_bytes = 1, 5

    def __init__(self, float_layers=()):
        self.float_layers = tuple(float_layers)

    def convert(self, served):
        """See `SingleFile`."""
        from bert_tf.serving.onnx_graphs import integers

        model = self.model(served)
        integers.quantize(model.graph, self.float_layers)
        return model.SerializeToString()

    def layers(self, served):
        """See `Format`."""
        from bert_tf.serving.onnx_graphs import integers

        return integers.layers(self.model(served).graph)

    def keeping(self, float_layers):
        """See `Format`."""
        return OnnxInt8(float_layers)


FORMATS.register("onnx_int8")(OnnxInt8())
