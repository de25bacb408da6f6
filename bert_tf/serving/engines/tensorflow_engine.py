"""TensorFlow with tensorflow-text: SavedModels."""


def load(path, threads):
    """Returns a function of a signature's name and its inputs, see `Engine`.

    Args:
      path: folder of the SavedModel.
      threads: of an operation.
    """
    import numpy as np
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  Its operations are in the graph.

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    model = tf.saved_model.load(path)  # It must not be collected while its signatures are in use.

    def tensor(array):
        return tf.constant(array.tolist() if array.dtype.kind == "U" else array)

    def answer(signature, inputs):
        tensors = {name: tensor(array) for name, array in inputs.items()}
        outputs = model.signatures[signature](**tensors)
        arrays = {name: output.numpy() for name, output in outputs.items()}
        texts = {name: x.astype(np.bytes_) for name, x in arrays.items() if x.dtype == object}
        return {**arrays, **texts}

    return answer


if __package__:
    from bert_tf.serving.engines.engine import ENGINES, Engine

    ENGINES.register("tensorflow")(Engine("TensorFlow", ("saved_model",), load))
