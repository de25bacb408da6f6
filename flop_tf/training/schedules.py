"""Learning rates over steps, and how far they let gates move in a training of any length."""

import tensorflow as tf

from flop_tf.backend import keras

#: How far a gate's log_alpha could move until the gates are fixed, at the default rate and always
#: in one direction. A log_alpha of 3 has 5.4 to go until its gate closes; with more travel the
#: penalty also drags down the gates that matter. See docs/decisions.md.
ALPHA_TRAVEL = 8.0
#: How far a multiplier could move in that time.
LAMBDA_TRAVEL = 200.0
#: Share of the gates' training in which the target rises.
RAMP = 0.8


@keras.saving.register_keras_serializable("flop_tf")
class Noam(keras.optimizers.schedules.LearningRateSchedule):
    """`rate * d_model^-0.5 * min(step^-0.5, step * warmup^-1.5)`, with steps from 1.

    >>> schedule = Noam(rate=1.0, d_model=4, warmup_steps=100)
    >>> [round(float(schedule(step)), 4) for step in (0, 99, 399)]
    [0.0005, 0.05, 0.025]

    Args:
      rate: factor of the whole schedule.
      d_model: hidden size of the model.
      warmup_steps: steps of linear growth, at least 1.

    Raises:
      ValueError: if `warmup_steps` or `d_model` is below 1.

    Reference:
      Attention Is All You Need, arXiv 1706.03762.
    """

    def __init__(self, rate, d_model, warmup_steps):
        super().__init__()
        for name, value in (("d_model", d_model), ("warmup_steps", warmup_steps)):
            if value < 1:
                raise ValueError(f"Argument `{name}` must be at least 1, received {value}.")
        self.rate = rate
        self.d_model = d_model
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Returns the rate of an update, `step` being the number of updates before it."""
        step = tf.cast(step, tf.float32) + 1.0
        scale = tf.minimum(tf.math.rsqrt(step), step * self.warmup_steps**-1.5)
        return self.rate * self.d_model**-0.5 * scale

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"rate": self.rate, "d_model": self.d_model, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable("flop_tf")
class ConstantWithWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """`rate * min(1, step / warmup)`, with steps from 1.

    >>> schedule = ConstantWithWarmup(rate=2.0, warmup_steps=4)
    >>> [float(schedule(step)) for step in (0, 3, 9)]
    [0.5, 2.0, 2.0]

    Args:
      rate: the rate after the warmup.
      warmup_steps: steps of linear growth; 0 or 1 means none.
    """

    def __init__(self, rate, warmup_steps=0):
        super().__init__()
        self.rate = rate
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Returns the rate of an update, `step` being the number of updates before it."""
        step = tf.cast(step, tf.float32) + 1.0
        return self.rate * tf.minimum(1.0, step / max(1, self.warmup_steps))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"rate": self.rate, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable("flop_tf")
class LinearWarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`rate * min(step / warmup, (total - step) / (total - warmup))`, never below 0.

    It rises to the whole rate and falls to 0; the schedule of tf-models decays from the first
    step on and so stays below the whole rate.

    >>> schedule = LinearWarmupDecay(rate=2.0, total_steps=10, warmup_steps=2)
    >>> [float(schedule(step)) for step in (0, 1, 2, 6, 10)]
    [0.0, 1.0, 2.0, 1.0, 0.0]

    Args:
      rate: highest rate, at the end of the warmup.
      total_steps: steps of the run.
      warmup_steps: steps of linear growth, in [0, total_steps), may be a fraction. Defaults to 0.

    Raises:
      ValueError: if `warmup_steps` is out of range.
    """

    def __init__(self, rate, total_steps, warmup_steps=0):
        super().__init__()
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"Argument `warmup_steps` must be in [0, {total_steps}), received {warmup_steps}."
            )
        self.rate = rate
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Returns the rate of an update, `step` being the number of updates before it."""
        step = tf.cast(step, tf.float32)
        rising = step / max(1.0, self.warmup_steps)
        falling = (self.total_steps - step) / (self.total_steps - self.warmup_steps)
        factor = tf.where(step < self.warmup_steps, rising, tf.maximum(falling, 0.0))
        return self.rate * factor

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "rate": self.rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
