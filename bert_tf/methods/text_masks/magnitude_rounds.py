"""The objective of rounds of training all weights and pruning the smallest.

How much a round prunes and how weights are rewound is in `flop_tf.training.iterative_magnitude`.
"""

import contextlib

import tensorflow as tf

from bert_tf.methods.text_masks.mask_loss import MaskLoss
from bert_tf.surgery import masks
from bert_tf.tasks.mlm import MlmTask
from flop_tf import BertAdam
from flop_tf.backend import keras
from flop_tf.training import iterative_magnitude
from flop_tf.training.task_objective import TaskObjective


class MagnitudeRounds(TaskObjective):
    """Trains all weights of a BERT and prunes the smallest between rounds.

    The first tenth is pruned before training and the last one at its last step, so that a round has
    `num_train_steps / (rounds - 1)` steps. The rate is restarted with each round.

    Attributes:
      model: the BERT with gates, compiled.

    Args:
      options: `MaskOptions`.
      data: `SearchData`.
    """

    def __init__(self, options, data):
        super().__init__(
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            seed=options.seed,
            loss=MaskLoss(options.loss_terms(), data.teacher),
        )
        gated = masks.with_gates(data.source, "magnitude")
        self.model = model = gated.model(**MlmTask.head)
        for gate in model.gates:
            gate.trainable = False
        rounds = iterative_magnitude.num_rounds(options.sparsity)
        interval = options.num_train_steps // max(1, rounds - 1)
        weights = model.encoder.trainable_variables
        self._pruning = iterative_magnitude.IterativeMagnitude(
            [(gate, variable) for _, gate, variable in model.encoder.weight_gates()],
            weights,
            [variable.numpy() for variable in weights],
            rounds,
            interval,
            options.rewind,
        )
        rate = RestartedDecay(options.learning_rate, options.num_train_steps, interval)
        optimizer = BertAdam(rate, global_clipnorm=1.0)
        optimizer.build(model.weight_variables())
        model.compile(optimizer, loss=data.task.loss(), objective=self)

    def callbacks(self):
        """Returns the callback that ends the rounds, between two steps."""
        return [self._pruning]

    def scored(self, step):
        """Returns a context that yields the masks by path; the model is under them anyway."""
        return contextlib.nullcontext(self.found(step))

    def changes(self, now):
        """Returns an empty dict: as pruned weights stay pruned, the share of zeros is enough.

        Args:
          now: dict of boolean arrays by path.
        """
        return {}

    def found(self, step):
        """Returns the present masks, boolean arrays by path.

        Args:
          step: number of updates so far.
        """
        return {path: gate.keep().numpy() for path, gate, _ in self.model.encoder.weight_gates()}


@keras.saving.register_keras_serializable("bert_tf")
class RestartedDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`rate (1 - (step mod interval) / total)`: the decay of a run, begun anew in each round.

    Args:
      rate: at the first step of a round.
      total_steps: of the run.
      interval: steps of a round.
    """

    def __init__(self, rate, total_steps, interval):
        super().__init__()
        self.rate = rate
        self.total_steps = total_steps
        self.interval = interval

    def __call__(self, step):
        """Returns the rate of a step."""
        done = tf.cast(tf.cast(step, tf.int32) % self.interval, tf.float32)
        return self.rate * (1.0 - done / self.total_steps)

    def get_config(self):
        """Returns the arguments."""
        return {"rate": self.rate, "total_steps": self.total_steps, "interval": self.interval}
