"""Loss, predictions and gradients of a batch, whose parts may follow each other."""

import tensorflow as tf

from flop_tf import randomness
from flop_tf.backend import keras


def task_loss(model, x, y, sample_weight):
    """Returns the loss that the model was compiled with, and its predictions.

    An objective may have another function of these arguments in its place.

    Args:
      model: a compiled Keras model.
      x: inputs of a batch.
      y: targets.
      sample_weight: float32 `[B]`, or None.

    Returns:
      `(loss, predictions)`: a scalar, the share of this replica, and tensors `[B, ...]`.
    """
    predictions = model(x, training=True)
    return model.compute_loss(x, y, predictions, sample_weight), predictions


class BatchGradients:
    """Gradients of a loss; the parts of a batch need the memory of one part only.

    >>> model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    >>> model.compile("sgd", loss="mse")
    >>> batch = tf.constant([[1.0], [3.0]]), tf.zeros([2, 1]), None
    >>> gradients = BatchGradients(num_parts=2)
    >>> _ = model(batch[0])
    >>> loss, _, (gradient,) = gradients(model, batch, model.variables, model.optimizer)
    >>> float(loss), float(gradient[0, 0])
    (5.0, 10.0)

    Args:
      loss: function as `task_loss`.
      num_parts: int of at least 1, parts of a batch, which must be divisible by it.
      seed: int, of every random draw.
    """

    def __init__(self, loss=task_loss, num_parts=1, seed=0):
        self.loss = loss
        self.num_parts = num_parts
        self.seed = seed

    def __call__(self, model, batch, variables, optimizer):
        """Returns loss, predictions and gradients of a batch at the present step.

        Args:
          model: a compiled Keras model.
          batch: `(x, y, sample_weight)`.
          variables: list of `tf.Variable`.
          optimizer: of the first update; one with loss scaling says by how much.

        Returns:
          `(loss, predictions, gradients)`: scalar, tensors `[B, ...]`, list as `variables`.
        """
        step, parts = model.optimizer.iterations, self.num_parts
        scales = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        scaler = optimizer if scales else None
        if parts == 1:
            with randomness.step_scope(self.seed, step):
                return self._gradients(model, batch, variables, scaler)
        batch = _map(lambda tensor: _in_parts(tensor, parts), batch)

        def part_gradients(part):
            with randomness.step_scope(self.seed, step, part):
                own = _map(lambda tensor: tensor[part], batch)
                loss, y_pred, gradients = self._gradients(model, own, variables, scaler)
            dense = [
                tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
            return loss, y_pred, dense

        return _mean_of_parts(part_gradients, parts)

    def _gradients(self, model, batch, variables, scaler):
        with tf.GradientTape() as tape:
            loss, y_pred = self.loss(model, *batch)
            scaled = scaler.get_scaled_loss(loss) if scaler else loss
        gradients = tape.gradient(scaled, variables)
        if scaler:
            gradients = scaler.get_unscaled_gradients(gradients)
        return loss, y_pred, gradients


def _mean_of_parts(part_gradients, parts):
    """Returns the mean loss, all predictions and the mean gradients of a function of the part."""

    def add(part, loss, arrays, gradients):
        more_loss, y_pred, more = part_gradients(part)
        arrays = _map(lambda array, value: array.write(part, value), arrays, y_pred)
        sums = [one + other for one, other in zip(gradients, more, strict=True)]
        return part + 1, loss + more_loss, arrays, sums

    # The first part says what the loop carries.
    loss, y_pred, gradients = part_gradients(tf.constant(0))
    arrays = _map(
        lambda value: tf.TensorArray(value.dtype, parts, element_shape=value.shape).write(0, value),
        y_pred,
    )
    _, loss, arrays, gradients = tf.while_loop(
        lambda part, *_: part < parts,
        add,
        (tf.constant(1), loss, arrays, gradients),
        parallel_iterations=1,
    )
    y_pred = _map(lambda array: array.concat(), arrays)
    return loss / parts, y_pred, [gradient / parts for gradient in gradients]


def _in_parts(tensor, parts):
    """Returns a batch `[rows, ...]` as `[parts, rows / parts, ...]`."""
    sizes = tf.shape(tensor)
    rest = [sizes[axis] if size is None else size for axis, size in enumerate(tensor.shape)][1:]
    return tf.reshape(tensor, [parts, -1, *rest])


def _map(function, *structures):
    """Returns `tf.nest.map_structure` that leaves None alone."""
    return tf.nest.map_structure(
        lambda *values: None if values[0] is None else function(*values), *structures
    )
