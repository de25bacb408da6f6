"""The one trainer: steps, checkpoints, scores, summaries, signals and devices of any objective."""

import os

import tensorflow as tf

from bert_tf.runs import callbacks, distribution
from bert_tf.runs.run_checkpoints import check_end
from flop_tf.backend import keras

# Steps between two looks at the model where parameter servers hold it.
_PIECE = 50


class Trainer:
    """Trains a compiled model to a step, from the last checkpoint or from the start.

    What is trained, and what a checkpoint holds, is said by the model's objective, see
    `flop_tf.training.objective.Objective`.

    Args:
      model: a compiled `GatedModel`.
      checkpoints: the `RunCheckpoints` of the run's folder.
      total_steps: int of at least 1, the step to train to.
      save_steps: int of at least 1, steps between two checkpoints.
      strategy: the `tf.distribute.Strategy` of the model; None is the one of the scope.
    """

    def __init__(self, model, checkpoints, total_steps, save_steps, strategy=None):
        self.model = model
        self.checkpoints = checkpoints
        self.total_steps = total_steps
        self.save_steps = save_steps
        self.strategy = strategy or tf.distribute.get_strategy()

    def run(self, batches, look=None, tracked=None, settings="", factorized_share=None):
        """Trains; does nothing where the last checkpoint is at the end of training.

        Args:
          batches: function of the step to begin at and of a `tf.distribute.InputContext` that
            returns the `tf.data.Dataset` of batches from there on.
          look: function of step, logs and writer of summaries, called before each checkpoint. It
            returns a dict of floats that the progress line shows. None looks at nothing.
          tracked: dict of trackable objects that checkpoints hold as well.
          settings: text for TensorBoard; an empty one is left out.
          factorized_share: of `callbacks.ProgressLine`.

        Returns:
          The step from which training went on, an int; 0 of a new run.

        Raises:
          OSError: if a file cannot be written.
        """
        model, objective = self.model, self.model.objective
        parts = {**objective.tracked(model), **(tracked or {})}
        self.checkpoints.track(model.optimizer.iterations, **parts)
        self.checkpoints.restore()
        is_left = objective.begin(model)
        first = self._step()
        if first >= self.total_steps or not is_left:
            return first
        writer = self._summary_writer(first, settings)
        shown, silent = {}, not self.checkpoints.writes
        line = callbacks.ProgressLine(self.total_steps, shown, factorized_share, silent)
        stopping = callbacks.StopOnSignal(self.checkpoints, line)

        def save(step, logs):
            if look is not None:
                shown.update(look(step, logs, writer))
            self.checkpoints.save()

        saving = callbacks.EverySteps(save, self.save_steps, self.total_steps)
        own = [callbacks.Summaries(writer), saving, line, stopping]
        try:
            self._fit(batches, [*objective.callbacks(), *own])
            if not model.stop_training:
                check_end(model, self.total_steps, self.checkpoints.folder)
            self.checkpoints.finish()
        finally:
            line.on_train_end()  # Before an error is shown.
            stopping.give_back()
        stopping.stop_if_received()
        writer.close()
        return first

    def _step(self):
        return int(self.model.optimizer.iterations.numpy())

    def _fit(self, batches, found):
        first = self._step()
        if distribution.is_asynchronous(self.strategy):
            self._fit_in_pieces(batches, found)
            return
        distributed = self.strategy.distribute_datasets_from_function(
            lambda context: batches(first, context)
        )
        steps = self.total_steps - first
        self.model.fit(distributed, steps_per_epoch=steps, verbose=0, callbacks=found)

    def _fit_in_pieces(self, batches, found):
        """Trains with parameter servers; callbacks see the model while no step runs."""
        model = self.model
        for callback in found:
            callback.set_model(model)
            callback.on_train_begin()
        step = self._step()
        while step < self.total_steps and not model.stop_training:
            steps = min(_PIECE, self.total_steps - step)
            creator = keras.utils.experimental.DatasetCreator(
                lambda context, step=step: batches(step, context)
            )
            history = model.fit(creator, steps_per_epoch=steps, verbose=0)
            step = self._step()
            logs = {name: values[-1] for name, values in history.history.items()}
            for callback in found:
                callback.on_train_batch_end(step, logs)
        for callback in found:
            callback.on_train_end()

    def _summary_writer(self, step, settings):
        if not self.checkpoints.writes:
            return tf.summary.create_noop_writer()
        path = os.path.join(self.checkpoints.folder, "tensorboard")
        writer = tf.summary.create_file_writer(path)
        if settings:
            with writer.as_default(step):
                tf.summary.text("hyper-parameters", f"```\n{settings}\n```")
        return writer
