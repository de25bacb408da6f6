"""ONNX Runtime on a CPU: ONNX files in float32 and in int8."""


def load(path, threads):
    """Returns a function of inputs, see `Engine`.

    Args:
      path: of the file.
      threads: of an operation.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(_, inputs):
        return dict(zip(names, session.run(names, inputs), strict=True))

    return answer


if __package__:
    from bert_tf.serving.engines.engine import ENGINES, Engine

    for name, reads in {"onnxruntime": "onnx", "onnxruntime_int8": "onnx_int8"}.items():
        ENGINES.register(name)(Engine("ONNX Runtime", (reads,), load, ("onnxruntime",)))
