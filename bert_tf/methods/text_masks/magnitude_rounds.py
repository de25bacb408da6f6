"""The search by rounds of training all weights and pruning the smallest: iterative magnitude.

How much a round prunes and how weights are rewound is in `flop_tf.training.iterative_magnitude`.
"""

import contextlib

import tensorflow as tf

from bert_tf.methods.text_masks.mask_learner import MaskLearner
from bert_tf.methods.text_masks.search_data import MLM_HEAD
from bert_tf.surgery import masks
from flop_tf import BertAdam
from flop_tf.backend import keras
from flop_tf.training import iterative_magnitude


class MagnitudeRounds:
    """A BERT whose weights are pruned by magnitude between rounds of training.

    The first tenth goes before training and the last one at its last step, so that a round has
    `num_train_steps / (rounds - 1)` steps.

    Attributes:
      model: the `MaskLearner`.
      callback: ends the rounds, between two steps.

    Args:
      options: `MaskOptions`.
      data: `SearchData`.
    """

    def __init__(self, options, data):
        self.options = options
        gated = masks.with_gates(data.source, "magnitude")
        self.model = gated.model(kind=MaskLearner, **MLM_HEAD)
        for gate in self.model.gates:
            gate.trainable = False
        rounds = iterative_magnitude.num_rounds(options.sparsity)
        self._interval = options.num_train_steps // max(1, rounds - 1)
        encoder = self.model.encoder
        weights = encoder.trainable_variables
        self.callback = iterative_magnitude.IterativeMagnitude(
            [(gate, variable) for _, gate, variable in encoder.weight_gates()],
            weights,
            [variable.numpy() for variable in weights],
            rounds,
            self._interval,
            options.rewind,
        )

    def compile(self, loss):
        """Compiles the model: all weights train, at a rate that is restarted with each round.

        Args:
          loss: of masked words.
        """
        options, model = self.options, self.model
        rate = RestartedDecay(options.learning_rate, options.num_train_steps, self._interval)
        optimizer = BertAdam(rate, global_clipnorm=1.0)
        optimizer.build(model.weight_variables())
        model.compile(
            optimizer,
            loss=loss,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            seed=options.seed,
        )

    def begin(self):
        """Does nothing: what a checkpoint holds is all that training goes on from."""

    def thresholded(self, step):
        """Returns a context that gives the masks by path; the model is under them anyway."""
        return contextlib.nullcontext(self.found(step))

    def changes(self, now):
        """Returns nothing: what is pruned stays so, the share of zeros says it all."""
        return {}

    def found(self, step):
        """Returns the masks as they are, by path."""
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
