"""ONNX, for ONNX Runtime and other programs that read it."""

import logging
import re

from bert_tf.serving.formats import onnx_spelling
from bert_tf.serving.formats.format import FORMATS
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.single_file import SingleFile


class Onnx(SingleFile):
    """An `.onnx` file."""

    file = "model.onnx"
    limits = Limits(largest_difference=1e-4)
    packages = ("tf2onnx", "onnx")
    family = "ONNX"

    #: Version of the operations; everything that reads ONNX knows it.
    OPSET = 17

    def convert(self, served):
        """See `SingleFile`."""
        import onnx
        import tf2onnx

        # It logs operations that it cannot convert and continues; the check below finds them.
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
        model, _ = tf2onnx.convert.from_function(
            served.portable_numbers,
            input_signature=served.portable_numbers.input_signature,
            opset=self.OPSET,
        )
        onnx_spelling.respell(model.graph)
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def missing(self, error):
        """See `SingleFile`."""
        return re.findall(r"No Op registered for (\w+)", str(error))[:1]


FORMATS.register("onnx")(Onnx())
