"""ONNX, for onnxruntime and what else reads it."""

import logging
import os
import re

import tensorflow as tf


class Onnx:
    """The function of ids with its float outputs; batch and length stay variable."""

    tolerance = 1e-4
    signatures = ("serving_default",)
    packages = ("tf2onnx", "onnxruntime")
    file = "model.onnx"

    #: Version of the operations; everything that reads ONNX knows it.
    OPSET = 17

    def write(self, served, folder):
        """Writes the file into a folder.

        Args:
          served: a `bert_tf.serving.served_model.ServedModel`.
          folder: where to write.

        Raises:
          ValueError: if ONNX has no such operation as the model needs.
        """
        import onnx
        import tf2onnx

        # It writes what it cannot convert to its log and goes on; the check below finds it.
        logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
        model, _ = tf2onnx.convert.from_function(
            served.portable_numbers,
            input_signature=served.portable_numbers.input_signature,
            opset=self.OPSET,
        )
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            missing = re.search(r"No Op registered for (\w+)", str(error))
            what = f"operation {missing[1]} of the model" if missing else f"model: {error}"
            raise ValueError(f"ONNX cannot hold the {what[:300]}; leave it out.") from error
        onnx.save(model, os.path.join(folder, self.file))

    def run(self, folder, requests):
        """Answers requests by onnxruntime.

        Args:
          folder: of `write`.
          requests: list of `(signature, {name: array})`; there is one signature.

        Returns:
          List of `{name: array}`.

        Raises:
          ValueError: if onnxruntime cannot run the model.
        """
        answer = self.load(folder)
        return [answer(inputs) for _, inputs in requests]

    def load(self, folder):
        """Returns a function `{name: array} -> {name: array}`; it raises ValueError as `run`."""
        import onnxruntime

        path = os.path.join(folder, self.file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = tf.config.threading.get_intra_op_parallelism_threads()
        try:
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # Its errors have no other class in common.
            raise _cannot_run(error) from error
        names = [output.name for output in session.get_outputs()]

        def answer(inputs):
            try:
                outputs = session.run(names, inputs)
            except Exception as error:
                raise _cannot_run(error) from error
            return dict(zip(names, outputs, strict=True))

        return answer

    def files(self, folder):
        """Returns the paths of what `write` made."""
        return [os.path.join(folder, self.file)]


def _cannot_run(error):
    reason = str(error).partition("\n")[0]
    return ValueError(f"onnxruntime cannot run the model: {reason}; leave it out.")
