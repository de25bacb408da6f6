"""Training of gated models: one step, three optimizers, and the end of the gates' training."""

import tensorflow as tf

from flop_tf import gates, randomness
from flop_tf.backend import Functional, keras
from flop_tf.budget.budget import Budget
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense


@keras.saving.register_keras_serializable("flop_tf")
class GatedModel(keras.Model):
    """A Keras model whose gates and multipliers have optimizers of their own.

    Built as any `keras.Model`, from inputs and outputs or by subclassing. The
    loss is `task + L2 + Lagrangian`; without gates it is ordinary training.

    Replicas of a `tf.distribute.Strategy` share gates, multipliers and their
    draws: the gradient of a step is that of the global batch, whatever the number
    of replicas and of `gradient_accumulation_steps`, if the sample weights of
    unequal parts say so. An optimizer with loss scaling leaves out a step whose
    gradients overflow.

    >>> inputs = keras.Input([8])
    >>> model = GatedModel(inputs, FactorizedDense(4, 3, gate="hard_concrete")(inputs))
    >>> len(model.gates), model.budget().original_parameters
    (1, 32)
    """

    def __new__(cls, *args, **kwargs):
        """Returns a `FunctionalGatedModel` for inputs and outputs."""
        if cls is GatedModel and (len(args) == 2 or "outputs" in kwargs):
            cls = FunctionalGatedModel
        return super().__new__(cls, *args, **kwargs)

    def compile(
        self,
        optimizer="rmsprop",
        *args,
        gate_optimizer=None,
        multiplier_optimizer=None,
        lagrangian=None,
        sparsity=None,
        diff=None,
        train_weights=True,
        regularization_scale=0.0,
        gradient_accumulation_steps=1,
        seed=0,
        **kwargs,
    ):
        """Configures training.

        Args:
          optimizer: of the weights.
          *args: of `keras.Model.compile`.
          gate_optimizer: of the gates; None leaves them as they are.
          multiplier_optimizer: of the Lagrangian's multipliers, which ascend.
          lagrangian: a `Lagrangian`, or None for no penalty.
          sparsity: a `Budget` of this model; needed with a Lagrangian.
          diff: a `LearnedDiff` or `FixedDiff` over this model's weights, which stay as they are;
            it alone is trained, its gates by `gate_optimizer`.
          train_weights: False trains the gates alone.
          regularization_scale: factor of `sum(w^2) / 2` over kernels and factors.
          gradient_accumulation_steps: parts of a batch that follow each other and make
            one update together; the batch must be divisible by it.
          seed: int, of every random draw in training.
          **kwargs: of `keras.Model.compile`.

        Raises:
          ValueError: if a Lagrangian lacks an optimizer or a `Budget`, or that does not
            count every gate.
        """
        super().compile(optimizer, *args, **kwargs)
        if lagrangian is not None and None in (gate_optimizer, multiplier_optimizer, sparsity):
            raise ValueError(
                "Argument `lagrangian` needs `gate_optimizer`, `multiplier_optimizer` and "
                "`sparsity`, received None for at least one of them."
            )
        if lagrangian is not None:
            self._check_counted(sparsity)
        self._set_pruning(gate_optimizer, multiplier_optimizer, lagrangian, sparsity, diff)
        self.train_weights = train_weights
        self.regularization_scale = regularization_scale
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.seed = seed
        # What `train_step` logs is the same on every replica.
        self.distribute_reduction_method = "first"

    def _check_counted(self, sparsity):
        if not sparsity.gates:
            raise ValueError(
                "Argument `sparsity` must have gated projections for a Lagrangian to close, "
                "received one without gates."
            )
        trained = [gate for gate in self.gates if gate.calibrates and gate.trainable_variables]
        missing = [gate.name for gate in trained if gate not in sparsity.gates]
        if missing:
            raise ValueError(
                "Argument `sparsity` must count every gate that is trained, received one without "
                f"{missing}; `model.budget()` counts all of them."
            )

    # Untracked: multipliers and slots belong to the training, not to the model's weights.
    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def _set_pruning(self, gate_optimizer, multiplier_optimizer, lagrangian, sparsity, diff):
        self.gate_optimizer = gate_optimizer
        self.multiplier_optimizer = multiplier_optimizer
        self.lagrangian = lagrangian
        self.sparsity = sparsity
        self.diff = diff

    @property
    def _scaler(self):
        """The optimizer that scales the loss, or None."""
        # One that updates nothing never learns that its scale is too large.
        optimizer = self.optimizer if self.train_weights else self.gate_optimizer
        scales = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        return optimizer if scales else None

    def get_compile_config(self):
        """Returns nothing: optimizers and multipliers are compiled anew after loading."""
        return {}

    @property
    def gates(self):
        """Every gate of the model."""
        return [layer for layer in self._flatten_layers() if isinstance(layer, gates.Gate)]

    def budget(self):
        """Returns the `Budget` of the factorized and gated dense layers, at any depth.

        Raises:
          ValueError: if there are none.
        """
        kinds = FactorizedDense | GatedDense
        return Budget(layer for layer in self._flatten_layers() if isinstance(layer, kinds))

    def gate_variables(self):
        """Returns the variables that the gate optimizer trains; none once the gates are fixed."""
        return [variable for gate in self.gates for variable in gate.trainable_variables]

    def weight_variables(self):
        """Returns the trainable variables that belong to no gate."""
        others = {id(v) for gate in self.gates for v in gate.variables}
        return [v for v in self.trainable_variables if id(v) not in others]

    @tf.__internal__.tracking.no_automatic_dependency_tracking
    def fix_gates(self):
        """Ends the gates' training: from the next step on they are their inference values."""
        for gate in self.gates:
            gate.trainable = False
        # `fit` starts by putting back what was trainable at `compile`.
        self._compiled_trainable_state = self._get_trainable_state()
        if self.train_function is not None:
            self.make_train_function(force=True)

    def train_step(self, data):
        """Makes one update of weights, gates and multipliers; returns what there is to log."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self.diff is not None:
            return self._train_diff(x, y, sample_weight)
        step = self.optimizer.iterations
        weights = self.weight_variables() if self.train_weights else []
        gate_variables = self.gate_variables() if self.gate_optimizer is not None else []
        variables = weights + gate_variables
        loss, y_pred, gradients = self._accumulate(step, x, y, sample_weight, variables)
        loss = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, loss)
        penalty, penalty_gradients, logs = self._penalize(step, variables, bool(gate_variables))
        gradients = [_add(*pair) for pair in zip(gradients, penalty_gradients, strict=True)]
        if weights:
            logs["model_lr"] = tf.identity(self.optimizer.learning_rate)
            self.optimizer.apply_gradients(zip(gradients[: len(weights)], weights, strict=True))
        else:
            step.assign_add(1)
        if gate_variables:
            logs.update(self._update_gates(gradients[len(weights) :], gate_variables, logs))
        if self.lagrangian is not None:
            logs["stored_sparsity"] = self.sparsity.stored_sparsity()
        metrics = self.compute_metrics(x, y, y_pred, sample_weight)
        return {**metrics, **logs, "loss": loss + penalty}

    def _train_diff(self, x, y, sample_weight):
        """Makes one update of a difference to weights that stay as they are."""
        diff, step = self.diff, self.optimizer.iterations
        with diff.applied(self.seed, step) as noise:
            variables = [*diff.dense, *diff.base]
            loss, y_pred, gradients = self._accumulate(step, x, y, sample_weight, variables)
        for_weights, for_gates, logs = diff.gradients(noise, gradients)
        logs["model_lr"] = tf.identity(self.optimizer.learning_rate)
        self.optimizer.apply_gradients(zip(for_weights, diff.trained, strict=True))
        if for_gates:
            logs["alpha_lr"] = tf.identity(self.gate_optimizer.learning_rate)
            self.gate_optimizer.apply_gradients(zip(for_gates, diff.gates, strict=True))
        metrics = self.compute_metrics(x, y, y_pred, sample_weight)
        return {**metrics, **logs, "loss": loss + logs.get("sparsity_penalty", 0.0)}

    def _accumulate(self, step, x, y, sample_weight, variables):
        """Returns the task's loss on this replica, the predictions and the gradients."""
        parts = self.gradient_accumulation_steps
        if parts == 1:
            with randomness.step_scope(self.seed, step):
                return self._task_gradients(x, y, sample_weight, variables)
        batch = _map(lambda tensor: _in_parts(tensor, parts), (x, y, sample_weight))

        def part_gradients(part):
            with randomness.step_scope(self.seed, step, part):
                loss, y_pred, gradients = self._task_gradients(
                    *_map(lambda tensor: tensor[part], batch), variables
                )
            dense = [
                tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
            return loss, y_pred, dense

        def add(part, loss, arrays, gradients):
            more_loss, y_pred, more = part_gradients(part)
            arrays = _map(lambda array, value: array.write(part, value), arrays, y_pred)
            sums = [one + other for one, other in zip(gradients, more, strict=True)]
            return part + 1, loss + more_loss, arrays, sums

        # The first part says what the loop carries.
        loss, y_pred, gradients = part_gradients(tf.constant(0))
        arrays = _map(
            lambda value: tf.TensorArray(value.dtype, parts, element_shape=value.shape).write(
                0, value
            ),
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

    def _task_gradients(self, x, y, sample_weight, variables):
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight)
            scaled = self._scaler.get_scaled_loss(loss) if self._scaler else loss
        gradients = tape.gradient(scaled, variables)
        if self._scaler:
            gradients = self._scaler.get_unscaled_gradients(gradients)
        return loss, y_pred, gradients

    def _penalize(self, step, variables, with_lagrangian):
        """Returns what does not depend on the batch: penalty, its gradients and what to log."""
        penalty, logs = 0.0, {}
        with tf.GradientTape() as tape:
            if self.regularization_scale:
                logs["l2_regularization_loss"] = self._l2_loss()
                penalty += logs["l2_regularization_loss"]
            if self.lagrangian is not None:
                logs["expected_sparsity"] = self.sparsity.expected_sparsity()
                logs["target_sparsity"] = self.lagrangian.target(step)
                if with_lagrangian:
                    logs["lagrangian_loss"] = self.lagrangian.penalty(
                        logs["expected_sparsity"], logs["target_sparsity"]
                    )
                    penalty += logs["lagrangian_loss"]
            # Optimizers add up what the replicas give them.
            share = penalty / tf.distribute.get_strategy().num_replicas_in_sync
        if not tf.is_tensor(share):
            return penalty, [None] * len(variables), logs
        return penalty, tape.gradient(share, variables), logs

    def _update_gates(self, gradients, variables, logs):
        rates = {"alpha_lr": tf.identity(self.gate_optimizer.learning_rate)}
        self.gate_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if self.lagrangian is not None:
            rates["lambda_lr"] = tf.identity(self.multiplier_optimizer.learning_rate)
            ascent = self.lagrangian.gradients(logs["expected_sparsity"], logs["target_sparsity"])
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            self.multiplier_optimizer.apply_gradients(
                (gradient / replicas, multiplier)
                for gradient, multiplier in zip(ascent, self.lagrangian.multipliers, strict=True)
            )
            rates["lambda_1"] = tf.identity(self.lagrangian.lambda_1)
            rates["lambda_2"] = tf.identity(self.lagrangian.lambda_2)
        return rates

    def _l2_loss(self):
        kernels = [
            getattr(layer, name)
            for layer in self._flatten_layers()
            for name in ("kernel", "factor_in", "factor_out")
            if isinstance(getattr(layer, name, None), tf.Variable)
        ]
        return self.regularization_scale * tf.add_n([tf.nn.l2_loss(k) for k in kernels])


@keras.saving.register_keras_serializable("flop_tf")
class FunctionalGatedModel(GatedModel, Functional):
    """A `GatedModel` made of inputs and outputs.

    A class of its own, because Keras would otherwise turn `GatedModel` itself
    into a functional class, and no subclass of it could be built any more.

    >>> inputs = keras.Input([8])
    >>> type(GatedModel(inputs, keras.layers.Dense(4)(inputs))).__name__
    'FunctionalGatedModel'
    """


class FixGates(keras.callbacks.Callback):
    """Fixes the gates once the target is reached, so that the weights recover under them.

    They are fixed after the first step whose stored sparsity, which `train_step`
    logs, is the asked one, and at `last_step` whatever it is. Either way they are
    first calibrated, so that the stored sparsity is the one asked for. Where the
    gates alone are trained, that is the end of training.

    >>> layer = FactorizedDense(6, 4, gate="hard_concrete")
    >>> layer.build([None, 6])
    >>> FixGates(Budget([layer]), target_sparsity=0.5, last_step=100).fixed
    False

    Args:
      sparsity: the `Budget` of the model.
      target_sparsity: the stored sparsity asked for.
      last_step: step by which the gates are fixed at the latest.

    Raises:
      ValueError: if there are no gates, or at `last_step`, if even without any gated rank the model
        is not that sparse.
    """

    def __init__(self, sparsity, target_sparsity, last_step):
        super().__init__()
        if not sparsity.gates and not sparsity.by_magnitude():
            raise ValueError(
                "Argument `sparsity` must have gates that can be fixed, received one without gates."
            )
        self.sparsity = sparsity
        self.target_sparsity = target_sparsity
        self.last_step = last_step
        self.fixed = False

    def on_train_batch_end(self, batch, logs=None):
        """Looks whether it is time."""
        if self.fixed:
            return
        reached = logs.get("stored_sparsity", 0.0) >= self.target_sparsity
        if reached or int(self.model.optimizer.iterations.numpy()) >= self.last_step:
            self.fix(self.sparsity.calibrate(self.target_sparsity))

    def fix(self, shift=0.0):
        """Fixes the gates now; `shift` is what calibration added to every log_alpha."""
        self.shift = shift
        self.fixed = True
        self.model.fix_gates()
        if not self.model.train_weights:
            self.model.stop_training = True


def _add(gradient, other):
    """Returns the sum of two gradients, None counting as zero."""
    if gradient is None or other is None:
        return other if gradient is None else gradient
    return tf.convert_to_tensor(gradient) + other


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
