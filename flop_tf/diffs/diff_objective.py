"""Training of a difference to weights that stay as they are."""

import tensorflow as tf

from flop_tf.training.batch_gradients import BatchGradients, task_loss
from flop_tf.training.objective import Objective


class DiffObjective(Objective):
    """The loss of a task at `theta = p0 + difference`, and the penalty of the difference.

    >>> from flop_tf import BertAdam, GatedModel
    >>> from flop_tf.backend import keras
    >>> from flop_tf.diffs.diff_finetuning import FixedDiff
    >>> layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    >>> model = GatedModel(inputs := keras.Input([2]), layer(inputs))
    >>> diff = FixedDiff([layer.kernel], positions=[[1]])
    >>> model.compile(BertAdam(0.1, bias_correction=True), "mse", objective=DiffObjective(diff))
    >>> logs = model.train_step((tf.ones([4, 2]), tf.ones([4, 1])))
    >>> diff.difference()[0].numpy().round(2).tolist(), layer.kernel.numpy().tolist()
    ([[0.0], [0.10000000149011612]], [[0.0], [0.0]])

    Args:
      diff: a `LearnedDiff` or `FixedDiff` over the model's weights. It alone is trained, by the
        model's optimizer.
      gate_optimizer: `keras.optimizers.Optimizer` of its gates; None where it has none.
      gradient_accumulation_steps: int of at least 1, parts of a batch; see `TaskObjective`.
      seed: int, of every random draw in training.
      loss: function as `flop_tf.training.batch_gradients.task_loss`, which is the default.
    """

    def __init__(
        self, diff, gate_optimizer=None, gradient_accumulation_steps=1, seed=0, loss=task_loss
    ):
        self.diff = diff
        self.gate_optimizer = gate_optimizer
        self.seed = seed
        self.batch_gradients = BatchGradients(loss, gradient_accumulation_steps, seed)

    def step(self, model, x, y, sample_weight):
        """Updates the difference, see `Objective.step`."""
        diff, batch = self.diff, (x, y, sample_weight)
        with diff.applied(self.seed, model.optimizer.iterations) as noise:
            variables = [*diff.dense, *diff.base]
            found = self.batch_gradients(model, batch, variables, model.optimizer)
        loss, y_pred, gradients = found
        for_weights, for_gates, logs = diff.gradients(noise, gradients)
        logs["model_lr"] = tf.identity(model.optimizer.learning_rate)
        model.optimizer.apply_gradients(zip(for_weights, diff.trained, strict=True))
        if for_gates:
            logs["alpha_lr"] = tf.identity(self.gate_optimizer.learning_rate)
            self.gate_optimizer.apply_gradients(zip(for_gates, diff.gates, strict=True))
        metrics = model.compute_metrics(x, y, y_pred, sample_weight)
        return {**metrics, **logs, "loss": loss + logs.get("sparsity_penalty", 0.0)}

    def tracked(self, model):
        """Returns the difference and its optimizers: of the model only what is trained whole."""
        tracked = {"dense": self.diff.dense, "diff": self.diff, "optimizer": model.optimizer}
        if self.diff.gates:
            tracked["gate_optimizer"] = self.gate_optimizer
        return tracked

    def scored(self, step):
        """Returns a context in which the model computes with the difference, without noise."""
        del step
        return self.diff.evaluated()
