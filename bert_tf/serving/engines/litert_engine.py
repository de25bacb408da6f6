"""LiteRT (TensorFlow Lite): files in float32, float16 and int8."""


def load(path, threads):
    """Returns a function of inputs, see `Engine`.

    Args:
      path: of the file.
      threads: of an operation.
    """
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=threads).get_signature_runner()
    return lambda _, inputs: runner(**inputs)


if __package__:
    from bert_tf.serving.engines.engine import ENGINES, Engine

    for name, reads in {
        "litert": ("litert_float32", "litert_float16"),
        "litert_int8": ("litert_int8",),
    }.items():
        ENGINES.register(name)(Engine("LiteRT", reads, load, ("ai_edge_litert",)))
