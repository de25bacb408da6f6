"""ONNX, for ONNX Runtime and other programs that read it."""

import gc
import logging
import os
import re
import weakref

from bert_tf.serving.formats.format import FORMATS
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.single_file import SingleFile

# By a `ServedModel`: several formats are made of one conversion, which takes seconds.
_CONVERTED = weakref.WeakKeyDictionary()


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
        return self.model(served).SerializeToString()

    def model(self, served):
        """Returns a new `onnx.ModelProto` of float32; fails as the converter does.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
        """
        import onnx

        if served not in _CONVERTED:
            _CONVERTED[served] = self._converted(served)
        model = onnx.ModelProto()
        model.CopyFrom(_CONVERTED[served])
        return model

    def missing(self, error):
        """See `SingleFile`."""
        return re.findall(r"No Op registered for (\w+)", str(error))[:1]

    def _converted(self, served):
        import onnx
        import tf2onnx

        from bert_tf.serving.onnx_graphs import spelling

        # It logs operations that it cannot convert and continues; the check below finds them.
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
        # It would copy graph and weights before each optimization, to go back to where one fails:
        # 7 GB for a model of 90 MB.
        os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
        model, _ = tf2onnx.convert.from_function(
            served.portable_numbers,
            input_signature=served.portable_numbers.input_signature,
            opset=self.OPSET,
        )
        gc.collect()  # Its graphs refer to themselves.
        spelling.respell(model.graph)
        onnx.checker.check_model(model)
        return model


FORMATS.register("onnx")(Onnx())
