"""Training for a task: its loss and an L2 penalty, for weights and gates."""

import tensorflow as tf

from flop_tf.training.batch_gradients import BatchGradients, task_loss
from flop_tf.training.objective import Objective


class TaskObjective(Objective):
    """`task + L2`, minimized by the model's optimizer and by one of the gates.

    Replicas of a `tf.distribute.Strategy` share gates and their draws: the gradient of a step is
    that of the global batch, for any number of replicas and parts, if the sample weights
    of unequal parts say so. An optimizer with loss scaling leaves out a step whose gradients
    overflow.

    >>> from flop_tf import BertAdam, GatedModel
    >>> from flop_tf.backend import keras
    >>> model = GatedModel(inputs := keras.Input([2]), keras.layers.Dense(1)(inputs))
    >>> model.compile(BertAdam(), "mse", objective=TaskObjective(regularization_scale=0.1))
    >>> sorted(model.train_step((tf.ones([4, 2]), tf.ones([4, 1]))))
    ['l2_regularization_loss', 'loss', 'model_lr']

    Args:
      gate_optimizer: `keras.optimizers.Optimizer` of the gates; None leaves them as they are.
      train_weights: False trains the gates alone.
      regularization_scale: float of at least 0, factor of `sum(w^2) / 2` over kernels and factors.
      gradient_accumulation_steps: int of at least 1, parts of a batch that follow each other and
        make one update together; the batch must be divisible by it.
      seed: int, of every random draw in training.
      loss: function as `flop_tf.training.batch_gradients.task_loss`, which is the default.
    """

    def __init__(
        self,
        gate_optimizer=None,
        train_weights=True,
        regularization_scale=0.0,
        gradient_accumulation_steps=1,
        seed=0,
        loss=task_loss,
    ):
        self.gate_optimizer = gate_optimizer
        self.train_weights = train_weights
        self.regularization_scale = regularization_scale
        self.batch_gradients = BatchGradients(loss, gradient_accumulation_steps, seed)

    def step(self, model, x, y, sample_weight):
        """Updates weights and gates, see `Objective.step`."""
        step = model.optimizer.iterations
        weights = model.weight_variables() if self.train_weights else []
        gates = model.gate_variables() if self.gate_optimizer is not None else []
        variables = weights + gates
        # An optimizer that updates nothing never learns that its scale is too large.
        first = model.optimizer if self.train_weights else self.gate_optimizer
        batch = x, y, sample_weight
        loss, y_pred, gradients = self.batch_gradients(model, batch, variables, first)
        loss = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, loss)
        penalty, of_penalty, logs = self._penalty_gradients(model, step, variables, bool(gates))
        gradients = [_add(*pair) for pair in zip(gradients, of_penalty, strict=True)]
        if weights:
            logs["model_lr"] = tf.identity(model.optimizer.learning_rate)
            model.optimizer.apply_gradients(zip(gradients[: len(weights)], weights, strict=True))
        else:
            step.assign_add(1)
        if gates:
            logs.update(self.update_gates(gradients[len(weights) :], gates, logs))
        metrics = model.compute_metrics(x, y, y_pred, sample_weight)
        # In half or double precision the loss has another type than the penalty of float32 gates.
        total = tf.cast(loss, tf.float32) + tf.cast(penalty, tf.float32)
        return {**metrics, **logs, "loss": total}

    def penalty(self, model, step, trains_gates):
        """Returns the term that is added to the loss once a step, for any batch.

        Args:
          model: the compiled `GatedModel`.
          step: integer scalar variable.
          trains_gates: whether gates are trained in this step.

        Returns:
          `(penalty, logs)`: a scalar, 0.0 for none, and a dict of scalars.
        """
        del step, trains_gates
        if not self.regularization_scale:
            return 0.0, {}
        l2_loss = self.regularization_scale * tf.add_n([tf.nn.l2_loss(k) for k in model.kernels()])
        return l2_loss, {"l2_regularization_loss": l2_loss}

    def update_gates(self, gradients, variables, logs):
        """Updates the gates.

        Args:
          gradients: list of tensors.
          variables: list of the gates' variables.
          logs: dict of scalars, of `penalty`.

        Returns:
          The rates, a dict of scalars to log.
        """
        del logs
        rates = {"alpha_lr": tf.identity(self.gate_optimizer.learning_rate)}
        self.gate_optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return rates

    def tracked(self, model):
        """Returns model and optimizers, see `Objective.tracked`."""
        tracked = super().tracked(model)
        if self.gate_optimizer is not None:
            tracked["gate_optimizer"] = self.gate_optimizer
        return tracked

    def _penalty_gradients(self, model, step, variables, trains_gates):
        with tf.GradientTape() as tape:
            penalty, logs = self.penalty(model, step, trains_gates)
            # Optimizers add up what the replicas give them.
            share = penalty / tf.distribute.get_strategy().num_replicas_in_sync
        if not tf.is_tensor(share):
            return penalty, [None] * len(variables), logs
        return penalty, tape.gradient(share, variables), logs


def _add(gradient, other):
    """Returns the sum of two gradients, None counting as zero."""
    if gradient is None or other is None:
        return other if gradient is None else gradient
    return tf.convert_to_tensor(gradient) + other
