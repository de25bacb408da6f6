"""Keras with a model directory, as an engine to compare exports with."""

import tensorflow as tf

from bert_tf.checkpoints import model_dir
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.serving.engines import Engine
from bert_tf.studies.speed import benchmark_process


def load(path, threads, precision="none", jit_compile=False):
    """Returns a function of a signature's name and features, see `Engine`.

    Args:
      path: the model directory.
      threads: of an operation.
      precision: see `benchmark_process.configure`.
      jit_compile: whether XLA compiles the model.
    """
    benchmark_process.configure(precision, threads)
    forward = compiled(model_dir.load(path), jit_compile)
    return lambda _, features: {"logits": forward(features)}


def compiled(model, jit_compile=False):
    """Returns a function from features `{name: array [B, T]}` to the outputs of a model, an array.

    Args:
      model: function of features and `training`.
      jit_compile: whether XLA compiles it.
    """
    ids = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[dict.fromkeys(INPUT_NAMES, ids)], jit_compile=jit_compile)
    def forward(features):
        return model(features, training=False)

    return lambda features: forward(features).numpy()


#: Not among `ENGINES`: it reads no export.
KERAS = Engine("Keras", (), load)
