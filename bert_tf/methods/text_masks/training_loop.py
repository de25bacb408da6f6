"""The steps of a training on text, from the last checkpoint on."""

import os

import tensorflow as tf

from bert_tf.runs import callbacks
from bert_tf.runs.run_checkpoints import RunCheckpoints, check_end


class TrainingLoop:
    """Trains a compiled model to a step and writes its checkpoints and summaries.

    Attributes:
      shown: dict of what the line of progress shows beside the loss.
      writer: of TensorBoard's summaries, once training has begun.

    Args:
      model: a compiled BERT.
      folder: of the run.
      num_steps: the step to train to.
      save_steps: steps between two checkpoints.
      keep_checkpoints: how many of the newest stay.
    """

    def __init__(self, model, folder, num_steps, save_steps, keep_checkpoints):
        self.model = model
        self.folder = folder
        self.num_steps = num_steps
        self.save_steps = save_steps
        self.checkpoints = RunCheckpoints(folder, keep_checkpoints)
        self.shown = {}

    def run(self, batches, before=(), look=None, settings=""):
        """Trains; does nothing where the last checkpoint is of the last step.

        Args:
          batches: function of the step to go on from that returns the `tf.data.Dataset`.
          before: callbacks that come before all others.
          look: function of the step, called before each checkpoint, or None.
          settings: text for TensorBoard.

        Returns:
          The step from which it went on, 0 of a new run.

        Raises:
          OSError: if a file cannot be written.
        """
        model = self.model
        self.checkpoints.track(model.optimizer.iterations, **_parts(model))
        self.checkpoints.restore()
        first = int(model.optimizer.iterations.numpy())
        if first >= self.num_steps:
            return first
        self.writer = tf.summary.create_file_writer(os.path.join(self.folder, "tensorboard"))
        if settings:
            with self.writer.as_default(first):
                tf.summary.text("hyper-parameters", f"```\n{settings}\n```")
        line = callbacks.ProgressLine(self.num_steps, self.shown)
        stopping = callbacks.StopOnSignal(self.checkpoints, line)

        def save(step, logs):
            if look is not None:
                look(step)
            self.checkpoints.save()

        saving = callbacks.AtSteps(save, self.save_steps, self.num_steps)
        found = [*before, callbacks.Summaries(self.writer), saving, line, stopping]
        steps = self.num_steps - first
        try:
            model.fit(batches(first), steps_per_epoch=steps, callbacks=found, verbose=0)
            check_end(model, self.num_steps, self.folder)
            self.checkpoints.finish()
        finally:
            line.on_train_end()  # Before an error is shown.
            stopping.give_back()
            self.writer.close()
        stopping.stop_if_received()
        return first


def _parts(model):
    """Returns what a checkpoint holds, by name."""
    parts = {"model": model, "optimizer": model.optimizer}
    if model.gate_optimizer is not None:
        parts["gate_optimizer"] = model.gate_optimizer
    return parts
