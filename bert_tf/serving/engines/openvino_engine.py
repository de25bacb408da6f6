"""OpenVINO on a CPU, in float32: the ONNX files that ONNX Runtime reads."""


def load(path, threads):
    """Returns a function of inputs, see `Engine`.

    Args:
      path: of the file.
      threads: of an operation.
    """
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        # On some processors it would compute in bfloat16.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(path, "CPU", settings)
    request = model.create_infer_request()
    names = [output.any_name for output in model.outputs]

    def answer(_, inputs):
        outputs = request.infer(inputs)
        return {name: outputs[index].copy() for index, name in enumerate(names)}

    return answer


if __package__:
    from bert_tf.serving.engines.engine import ENGINES, Engine

    ENGINES.register("openvino")(Engine("OpenVINO", ("onnx",), load, ("openvino",), "openvino"))
