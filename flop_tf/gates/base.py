"""The class of every gate, values in [0, 1] that scale a tensor, and the registry of gates."""

import abc

import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.registry import Registry

#: Classes of gates by the name that flags and configs use.
GATES = Registry("gate", "flop_tf.gates")


def register_gate(name, package="flop_tf"):
    """Registers a class of gates under a name, with Keras too.

    ```python
    @register_gate("mine", package="my_package")
    class Mine(Gate): ...
    ```

    Args:
      name: text by which flags, configs and files name the gate.
      package: text, with the name of the class the name in files of Keras. Defaults to "flop_tf".

    Returns:
      A decorator of the class.

    Raises:
      ValueError: when it decorates, if the name belongs to another gate.
    """

    def decorator(cls):
        return keras.saving.register_keras_serializable(package)(GATES.register(name)(cls))

    return decorator


class Gate(keras.layers.Layer, abc.ABC):
    """Scales a tensor by a mask along one axis, or elementwise.

    `y = x * mask`, with `mask` broadcast along `axis`. The owner of the gate
    (a factorized projection, an attention layer) decides what it scales and
    what a unit costs; the gate knows only how its mask comes about.

    Like BatchNormalization, a gate with `trainable = False` runs in inference
    mode also in training: its mask is fixed, without noise. As for every
    Keras layer, a model must be compiled again after the change.

    >>> from flop_tf import gates
    >>> gate = gates.get("hard_concrete", axis=-1)
    >>> gate(tf.ones([2, 3])).shape.as_list(), gate.keep().numpy().tolist()
    ([2, 3], [True, True, True])

    Args:
      axis: int, the axis of the scaled tensor that has one mask value per
        index; None for one value per element. Defaults to -1.
      **kwargs: of `keras.layers.Layer`. The mask is float32 under every policy.
    """

    #: Name of the variable that makes the mask, see `variable_shape`.
    variable_name = None
    #: Whether training draws masks, by a `seed`.
    draws = False
    #: Whether calibration to a sparsity works, by `shift` and `opens_at`.
    calibrates = False
    #: Whether it goes by the magnitude of the weights of a dense kernel, by `keep_largest`.
    by_magnitude = False

    def __init__(self, axis=-1, **kwargs):
        kwargs = {"autocast": False, **kwargs, "dtype": "float32"}
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape):
        """Creates the gate's variables by `build_mask` for tensors of `input_shape`.

        Args:
          input_shape: shape of the tensors that are scaled.

        Raises:
          ValueError: if the size along the axis is unknown.
        """
        input_shape = tf.TensorShape(input_shape)
        shape = input_shape if self.axis is None else input_shape[self.axis : self.axis + 1 or None]
        if not shape.is_fully_defined():
            raise ValueError(
                f"Gate {self.name!r} needs a static size along axis {self.axis}, received inputs "
                f"of shape {input_shape}."
            )
        self.build_mask(shape.as_list())
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Returns `inputs * mask`, in the type of the inputs.

        Args:
          inputs: tensor, whose shape along `axis` is the mask's.
          training: bool, see `mask`.
        """
        return inputs * self.broadcast_mask(self.mask(training), inputs)

    def broadcast_mask(self, mask, inputs):
        """Returns a mask in the type of the inputs and of a shape that is broadcast along them.

        Args:
          mask: float32 tensor in the shape of `mask`.
          inputs: tensor that is scaled.
        """
        mask = tf.cast(mask, inputs.dtype)
        if self.axis is None or self.axis % inputs.shape.rank == inputs.shape.rank - 1:
            return mask
        trailing = inputs.shape.rank - 1 - self.axis % inputs.shape.rank
        return tf.reshape(mask, [-1] + [1] * trailing)

    def variable_shape(self, mask_shape):
        """Returns the shape of the variable that makes a mask of `mask_shape`: the same.

        Args:
          mask_shape: tuple of ints.
        """
        return tuple(mask_shape)

    def variable_shapes(self, mask_shape):
        """Returns the shapes of all variables of the gate by name, for a mask of `mask_shape`.

        Args:
          mask_shape: tuple of ints.

        Returns:
          A dict of tuples of ints.
        """
        return {self.variable_name: self.variable_shape(mask_shape)}

    def rows(self, table, indices, training=None):
        """Returns `table[indices] * mask[indices]` of a gate over all elements of `table [V, H]`.

        Args:
          table: `[V, H]`, a variable or a tensor.
          indices: ints of any shape.
          training: whether to draw.

        Returns:
          The rows, of shape `[..., H]`.
        """
        return tf.gather(self(tf.convert_to_tensor(table), training=training), indices)

    def add_constant(self, name, shape, value, **settings):
        """Returns a new variable of one value, float32 under mixed precision too.

        Args:
          name: of the variable.
          shape: of the variable, ints.
          value: of all its elements at first.
          **settings: of `keras.layers.Layer.add_weight`.
        """
        settings |= {"initializer": keras.initializers.Constant(value)}
        return self.add_weight(name=name, shape=shape, experimental_autocast=False, **settings)

    @abc.abstractmethod
    def build_mask(self, shape):
        """Creates the variables of a mask.

        Args:
          shape: list of ints.
        """

    @abc.abstractmethod
    def mask(self, training=None):
        """Returns the float32 mask: in training a draw, else the inference gate.

        Args:
          training: bool; None takes Keras' learning phase.
        """

    @abc.abstractmethod
    def expected_active(self):
        """Returns the expected number of units that are not 0, a float32 scalar."""

    @abc.abstractmethod
    def keep(self):
        """Returns a boolean mask of the units that survive at inference: the keep rule."""

    def opens_at(self):
        """Returns the shifts at which units open; only of gates with `calibrates`.

        Returns:
          A float64 array in the shape of the mask: after a `shift` by more than its entry the keep
          rule keeps a unit.

        Raises:
          NotImplementedError: if the gate does not calibrate.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `opens_at`.")

    def shift(self, amount):
        """Opens units by positive numbers and closes them by negative ones.

        Importance moves units by logarithms, about 5 for a factor e, so that a gate that lives on
        another scale multiplies them here and divides by the same in `opens_at`.

        Args:
          amount: float, or a float array in the shape of the mask.
        """
        variable = getattr(self, self.variable_name)
        variable.assign_add(tf.broadcast_to(tf.cast(amount, variable.dtype), variable.shape))

    def reset(self, value):
        """Gives all units the same value, from which `shift` moves them.

        Args:
          value: float, in the gate's own terms.
        """
        variable = getattr(self, self.variable_name)
        variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))

    def get_config(self):
        """Returns the constructor's arguments."""
        config = super().get_config()
        del config["dtype"]
        return {**config, "axis": self.axis}
