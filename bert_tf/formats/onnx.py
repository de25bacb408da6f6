"""ONNX, for onnxruntime and what else reads it."""

import logging
import os
import re

import numpy as np


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
          served: a `bert_tf.serving.ServedModel`.
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
            custom_op_handlers={"Erfc": (_erfc, [])},
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
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(
                os.path.join(folder, self.file), providers=["CPUExecutionProvider"]
            )
            names = [output.name for output in session.get_outputs()]
            answers = [session.run(names, inputs) for _, inputs in requests]
        except Exception as error:  # Its errors have no other class in common.
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"onnxruntime cannot run the model: {reason}; leave it out."
            ) from error
        return [dict(zip(names, answer, strict=True)) for answer in answers]


def _erfc(graph, node, name, args):
    """Puts `1 - erf(x)` for `erfc(x)`, which TensorFlow's GELU has and ONNX has not."""
    shape, dtype = graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    one = graph.make_const(f"{name}/one", np.array(1, np.float32)).output[0]
    graph.remove_node(name)
    erf = graph.make_node("Erf", node.input, name=f"{name}/erf", shapes=[shape], dtypes=[dtype])
    graph.make_node(
        "Sub", [one, erf.output[0]], name=name, outputs=node.output, shapes=[shape], dtypes=[dtype]
    )
