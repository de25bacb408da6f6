"""The class of every trained difference: it changes a model's variables for a `with` block."""

import abc
import contextlib
import math

import tensorflow as tf


class TrainedDiff(tf.Module, abc.ABC):
    """A difference w to variables that stay as they are.

    >>> from flop_tf.diffs.diff_finetuning import FixedDiff
    >>> kernel = tf.Variable([1.0, 2.0])
    >>> diff = FixedDiff([kernel], positions=[[0]], values=[[0.5]])
    >>> with diff.evaluated():
    ...     kernel.numpy().tolist()
    [1.5, 2.0]
    >>> kernel.numpy().tolist()
    [1.0, 2.0]

    Attributes:
      base: list of the variables that hold p0; outside of `applied` they always do.
      dense: list of variables that are trained whole.
      weights: variable w, which subclasses make.

    Args:
      base: list of model variables.
      dense: list of model variables that are trained whole, such as the task head.
    """

    def __init__(self, base, dense=()):
        super().__init__()
        self._keep(list(base), list(dense))

    # Untracked: these variables belong to the model.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _keep(self, base, dense):
        self.base, self.dense = base, dense
        self._sizes = [math.prod(variable.shape) for variable in base]

    @property
    def trained(self):
        """Variables of the weights' optimizer: `dense` and w."""
        return [*self.dense, self.weights]

    @property
    @abc.abstractmethod
    def gates(self):
        """Variables of the gates' optimizer."""

    @abc.abstractmethod
    def applied(self, seed, step):
        """Lets the model compute with theta of a step's draw for a `with` block; yields the noise.

        Args:
          seed: int, of the run.
          step: integer scalar tensor.
        """

    def evaluated(self):
        """Returns a context in which the model computes with theta without noise."""
        differences = zip(self.base, self.difference(), strict=True)
        return holding(self.base, [variable + added for variable, added in differences])

    @abc.abstractmethod
    def difference(self):
        """Returns theta - p0 without noise, a list of tensors as `base`."""

    @abc.abstractmethod
    def gradients(self, noise, gradients):
        """Returns the gradients of the loss and of a penalty, and scalars to log.

        Args:
          noise: what `applied` yielded.
          gradients: those at theta, a list as `dense` and `base`.

        Returns:
          `(list as trained, list as gates, dict)`.
        """


@contextlib.contextmanager
def holding(variables, values):
    """Gives variables other values for a `with` block; after it they have their own, bit by bit.

    TensorFlow hands their buffers over and copies nothing.

    Args:
      variables: list of `tf.Variable`.
      values: list of tensors of their shapes.
    """
    before = [variable.read_value() for variable in variables]
    try:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def flat_gradients(gradients, sizes):
    """Returns gradients one after the other, `[N]`; None counts as zero.

    Args:
      gradients: list of tensors, `tf.IndexedSlices` or None.
      sizes: list of their numbers of elements.
    """
    parts = [
        tf.zeros([size]) if one is None else tf.reshape(tf.convert_to_tensor(one), [size])
        for one, size in zip(gradients, sizes, strict=True)
    ]
    return tf.concat(parts, 0)
