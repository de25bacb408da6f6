"""Adam and Adamax as BERT uses them: one fused kernel a variable, bias correction if wanted."""

import tensorflow as tf

from flop_tf.backend import keras


@keras.saving.register_keras_serializable("flop_tf")
class BertAdam(keras.optimizers.Optimizer):
    """Adam without bias correction, with decoupled weight decay.

    `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
    `x -= lr (c m / (sqrt(v) + epsilon) + weight_decay x)`, with c = 1, or at step t with
    `bias_correction` `c = sqrt(1 - b2^t) / (1 - b1^t)`.

    Keras' Adam corrects the bias and runs some ten elementwise operations a
    variable; this one is TensorFlow's fused kernel, which leaves the correction
    out when its powers of beta are 0. Gradients of embeddings are
    applied to all rows, as BERT's optimizer does.

    >>> weight = tf.Variable([1.0])
    >>> optimizer = BertAdam(learning_rate=0.1, weight_decay=0.01)
    >>> step = optimizer.apply_gradients([(tf.constant([2.0]), weight)])
    >>> round(float(weight[0]), 3)  # Without bias correction early steps are long.
    0.683

    Args:
      learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`.
      beta_1: decay of m. Defaults to .9.
      beta_2: decay of v. Defaults to .999.
      epsilon: Defaults to 1e-6, as for BERT's weights; gates want 1e-8.
      name: of the optimizer.
      bias_correction: whether early steps are as long as later ones. Defaults to False.
      **kwargs: of `keras.optimizers.Optimizer`: `weight_decay`, `global_clipnorm`, ...

    Reference:
      BERT, arXiv 1810.04805; Decoupled Weight Decay Regularization, arXiv 1711.05101.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        name="BertAdam",
        bias_correction=False,
        **kwargs,
    ):
        kwargs = {"jit_compile": False, "weight_decay": None, **kwargs}
        super().__init__(name=name, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.bias_correction = bias_correction
        self._skipping = set()

    def build(self, var_list):
        """Creates m and v for each variable, zero at first.

        Args:
          var_list: list of the variables to update.
        """
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self._m = [self.add_variable_from_reference(v, "m") for v in var_list]
        self._v = [self.add_variable_from_reference(v, "v") for v in var_list]

    def skip_zero_gradients(self, var_list):
        """Leaves elements of some variables as they are where their gradient is exactly 0.

        They keep value and moments, as if there had been no step; otherwise momentum and weight
        decay would still move them.

        Args:
          var_list: the variables; a later call replaces them.
        """
        self._skipping = {self._var_key(variable) for variable in var_list}

    def update_step(self, gradient, variable):
        """Updates one variable.

        Args:
          gradient: float tensor, or `tf.IndexedSlices` of an embedding.
          variable: a variable for which the optimizer was built.
        """
        if self._var_key(variable) not in self._skipping:
            self._apply(gradient, variable)
            return
        index = self._index_dict[self._var_key(variable)]
        moves = tf.not_equal(tf.convert_to_tensor(gradient), 0)
        state = (variable, self._m[index], self._v[index])
        before = [tf.identity(part) for part in state]
        if self.weight_decay is not None and self._use_weight_decay(variable):
            decay = tf.cast(self.weight_decay * self.learning_rate, variable.dtype)
            variable.assign_sub(decay * variable)
        self._apply(gradient, variable)
        for part, old in zip(state, before, strict=True):
            part.assign(tf.where(moves, part, old))

    def _apply_weight_decay(self, variables):
        # Keras decays before the step and knows no gradient, and has no public hook for this: those
        # that skip zero gradients decay in `update_step`.
        moving = [v for v in variables if self._var_key(v) not in self._skipping]
        super()._apply_weight_decay(moving)

    def _apply(self, gradient, variable):
        """Updates one variable and its moments by the formula."""
        power = self._power(self.beta_2, variable.dtype)
        arguments = self._arguments(gradient, variable, self.epsilon)
        tf.raw_ops.ResourceApplyAdam(**arguments, beta2_power=power)

    def _arguments(self, gradient, variable, epsilon):
        """Returns the arguments that both kernels take."""
        index, dtype = self._index_dict[self._var_key(variable)], variable.dtype
        return {
            "var": variable.handle,
            "m": self._m[index].handle,
            "v": self._v[index].handle,
            "beta1_power": self._power(self.beta_1, dtype),
            "lr": tf.cast(self.learning_rate, dtype),
            "beta1": tf.constant(self.beta_1, dtype),
            "beta2": tf.constant(self.beta_2, dtype),
            "epsilon": tf.constant(epsilon, dtype),
            "grad": tf.convert_to_tensor(gradient),
        }

    def _power(self, beta, dtype):
        """Returns `beta^t` of the step, or the 0 that leaves the correction out."""
        if not self.bias_correction:
            return tf.zeros([], dtype)
        return tf.constant(beta, dtype) ** tf.cast(self.iterations + 1, dtype)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }


@keras.saving.register_keras_serializable("flop_tf")
class BertAdamax(BertAdam):
    """Adamax without bias correction, with decoupled weight decay, as MT-DNN trains BERT.

    `m = b1 m + (1 - b1) g`, `u = max(b2 u, |g| + epsilon)`,
    `x -= lr (m / (u + epsilon) + weight_decay x)`.

    TensorFlow's fused kernel has `v = max(b2 v, |g|)`. With `v = u - epsilon` the formula is
    `v = max(b2 (v - epsilon (1 - b2) / b2), |g|)`, so that v is lowered a little beforehand, and
    the kernel adds `2 epsilon` to it.

    >>> weight = tf.Variable([1.0])
    >>> step = BertAdamax(learning_rate=0.1).apply_gradients([(tf.constant([2.0]), weight)])
    >>> round(float(weight[0]), 3)
    0.99

    Args:
      learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`.
      beta_1: decay of m. Defaults to .9.
      beta_2: decay of u. Defaults to .999.
      epsilon: Defaults to 1e-6.
      **kwargs: of `keras.optimizers.Optimizer`: `weight_decay`, `global_clipnorm`, ...

    Reference:
      Adam, arXiv 1412.6980, section 7.1; Multi-Task Deep Neural Networks for Natural Language
      Understanding, arXiv 1901.11504.
    """

    def __init__(self, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-6, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **{"name": "BertAdamax", **kwargs})

    def _apply(self, gradient, variable):
        """Updates one variable and its moments by the formula."""
        index = self._index_dict[self._var_key(variable)]
        lowered = self.epsilon * (1.0 - self.beta_2) / self.beta_2
        self._v[index].assign(self._v[index] - tf.constant(lowered, variable.dtype))
        arguments = self._arguments(gradient, variable, 2.0 * self.epsilon)
        tf.raw_ops.ResourceApplyAdaMax(**arguments)
