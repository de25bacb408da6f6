"""Training for a task under a Lagrangian, which closes gates until the target is reached."""

import contextlib

import tensorflow as tf

from flop_tf.training.task_objective import TaskObjective


class LagrangianObjective(TaskObjective):
    """`task + L2 + Lagrangian`; the multipliers ascend by an optimizer of their own.

    >>> from flop_tf import BertAdam, FactorizedDense, GatedModel, Lagrangian
    >>> from flop_tf.backend import keras
    >>> layer = FactorizedDense(6, 4, gate="hard_concrete")
    >>> model = GatedModel(inputs := keras.Input([6]), layer(inputs))
    >>> lagrangian = Lagrangian(0.5, start_sparsity=-0.3, warmup_steps=10)
    >>> objective = LagrangianObjective(
    ...     lagrangian, BertAdam(), model.budget(), gate_optimizer=BertAdam()
    ... )
    >>> model.compile(BertAdam(), "mse", objective=objective)
    >>> logs = model.train_step((tf.ones([4, 6]), tf.ones([4, 6])))
    >>> round(float(logs["target_sparsity"]), 2), round(float(logs["stored_sparsity"]), 2)
    (-0.3, 0.0)

    Args:
      lagrangian: a `Lagrangian`.
      multiplier_optimizer: `keras.optimizers.Optimizer` of its multipliers.
      sparsity: the `Budget` of the model; it counts every gate.
      fixing: the `FixGates` callback that a trainer calls; None where training has another one.
      **task: of `TaskObjective`; `gate_optimizer` is needed.

    Raises:
      ValueError: if an optimizer or the `Budget` is None, or that has no gate.
    """

    def __init__(self, lagrangian, multiplier_optimizer, sparsity, fixing=None, **task):
        super().__init__(**task)
        if None in (self.gate_optimizer, multiplier_optimizer, sparsity):
            raise ValueError(
                "Argument `lagrangian` needs `gate_optimizer`, `multiplier_optimizer` and "
                "`sparsity`, received None for at least one of them."
            )
        if not sparsity.gates:
            raise ValueError(
                "Argument `sparsity` must have gated projections for a Lagrangian to close, "
                "received one without gates."
            )
        self.lagrangian = lagrangian
        self.multiplier_optimizer = multiplier_optimizer
        self.sparsity = sparsity
        self.fixing = fixing

    def check_gates(self, gates):
        """Checks that every gate that is trained counts.

        Args:
          gates: list of the model's gates.

        Raises:
          ValueError: if one is missing in the `Budget`.
        """
        trained = [gate for gate in gates if gate.calibrates and gate.trainable_variables]
        missing = [gate.name for gate in trained if gate not in self.sparsity.gates]
        if missing:
            raise ValueError(
                "Argument `sparsity` must count every gate that is trained, received one without "
                f"{missing}; `model.budget()` counts all of them."
            )

    def step(self, model, x, y, sample_weight):
        """Updates weights, gates and multipliers, see `Objective.step`."""
        logs = super().step(model, x, y, sample_weight)
        return {**logs, "stored_sparsity": self.sparsity.stored_sparsity()}

    def penalty(self, model, step, trains_gates):
        """Returns `L2 + lambda_1 (t - s) + lambda_2 (t - s)^2`, see `TaskObjective.penalty`."""
        penalty, logs = super().penalty(model, step, trains_gates)
        logs["expected_sparsity"] = self.sparsity.expected_sparsity()
        logs["target_sparsity"] = self.lagrangian.target(step)
        if trains_gates:
            logs["lagrangian_loss"] = self.lagrangian.penalty(
                logs["expected_sparsity"], logs["target_sparsity"]
            )
            penalty += logs["lagrangian_loss"]
        return penalty, logs

    def update_gates(self, gradients, variables, logs):
        """Updates gates and multipliers, see `TaskObjective.update_gates`."""
        rates = super().update_gates(gradients, variables, logs)
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

    def tracked(self, model):
        """Returns model, optimizers and multipliers, and whether the gates are fixed."""
        tracked = super().tracked(model)
        tracked["lagrangian"] = self.lagrangian
        tracked["multiplier_optimizer"] = self.multiplier_optimizer
        if self.fixing is not None:
            tracked["fixed"] = self.fixing.fixed
        return tracked

    def begin(self, model):
        """Fixes gates that were fixed; returns whether they or the weights are left to train."""
        if not self._is_fixed():
            return True
        model.fix_gates()
        return self.train_weights

    def callbacks(self):
        """Returns the callback that fixes the gates, until it has done so."""
        return [] if self.fixing is None or self._is_fixed() else [self.fixing]

    def scored(self, step):
        """Returns a context in which the gates are calibrated, until they are fixed."""
        del step
        if self._is_fixed():
            return contextlib.nullcontext()
        return self.sparsity.calibrated(self.lagrangian.target_sparsity)

    def _is_fixed(self):
        return self.fixing is not None and self.fixing.is_fixed()
