"""ONNX, for ONNX Runtime and other programs that read it."""

import logging
import os
import re

import tensorflow as tf

from bert_tf.serving.formats.format import FORMATS
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.single_file import SingleFile


class Onnx(SingleFile):
    """An `.onnx` file."""

    file = "model.onnx"
    limits = Limits(largest_difference=1e-4)
    packages = ("tf2onnx", "onnxruntime")
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
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def missing(self, error):
        """See `SingleFile`."""
        return re.findall(r"No Op registered for (\w+)", str(error))[:1]

    def load(self, folder):
        """See `Format`."""
        onnxruntime = self.imported("onnxruntime")
        path = os.path.join(folder, self.file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = tf.config.threading.get_intra_op_parallelism_threads()
        try:
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # Its errors have no other class in common.
            raise self.cannot_run(error) from error
        names = [output.name for output in session.get_outputs()]

        def answer(inputs):
            try:
                outputs = session.run(names, inputs)
            except Exception as error:
                raise self.cannot_run(error) from error
            return dict(zip(names, outputs, strict=True))

        return answer


FORMATS.register("onnx")(Onnx())
