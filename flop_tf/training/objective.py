"""What a training minimizes: the update of a batch, and what a trainer must know about it."""

import abc
import contextlib


class Objective(abc.ABC):
    """What a training minimizes; `GatedModel.compile` takes one.

    A subclass defines `step`. All other methods are hooks of the trainer, each with a default.
    Objectives compose: one may hold another, call its methods and add to them.

    >>> import tensorflow as tf
    >>> from flop_tf import GatedModel
    >>> from flop_tf.backend import keras
    >>> class Counting(Objective):
    ...     def step(self, model, x, y, sample_weight):
    ...         model.optimizer.iterations.assign_add(1)
    ...         return {"loss": tf.constant(0.0)}
    >>> model = GatedModel(inputs := keras.Input([2]), keras.layers.Dense(1)(inputs))
    >>> model.compile("sgd", objective=Counting())
    >>> _ = model.fit(tf.zeros([4, 2]), tf.zeros([4, 1]), batch_size=2, verbose=0)
    >>> int(model.optimizer.iterations)
    2

    Attributes:
      train_weights: whether weights are trained; without them training ends with the gates'.
    """

    train_weights = True

    @abc.abstractmethod
    def step(self, model, x, y, sample_weight):
        """Makes one update; it runs on each replica and is traced by `tf.function`.

        Args:
          model: the compiled `GatedModel`. `model.optimizer.iterations` must be one more after it.
          x: inputs of a batch, as the model takes them.
          y: targets of the batch, or None.
          sample_weight: float32 `[B]`, or None where all examples weigh 1.

        Returns:
          The logs: a dict of scalar tensors by name, among them "loss".
        """

    def tracked(self, model):
        """Returns the trackable objects that a checkpoint holds, a dict by name.

        Args:
          model: the compiled `GatedModel`.
        """
        return {"model": model, "optimizer": model.optimizer}

    def begin(self, model):
        """Prepares training; a trainer calls it once, after the last checkpoint was restored.

        Args:
          model: the compiled `GatedModel`.

        Returns:
          Whether anything is left to train, a bool; by default True.
        """
        del model
        return True

    def callbacks(self):
        """Returns the `keras.callbacks.Callback` that training needs, a list; by default empty.

        They come before all others, so that these see their logs.
        """
        return []

    def scored(self, step):
        """Returns a context manager in which the model is what is to be scored and saved.

        After it training goes on as if nobody had looked. By default nothing changes.

        Args:
          step: int, the number of updates so far.
        """
        del step
        return contextlib.nullcontext()
