"""Callbacks between training steps: progress line, TensorBoard, checkpoints, log, signals."""

import signal
import sys
import threading
import time

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from bert_tf.encoders.config import PROJECTIONS
from bert_tf.presentation import plots
from flop_tf import FixGates
from flop_tf.backend import keras
from flop_tf.training.gradual import GradualPruning

#: Logs of training steps that TensorBoard shows, by their tags.
TAGS = (
    "loss",
    "lagrangian_loss",
    "l2_regularization_loss",
    "expected_sparsity",
    "stored_sparsity",
    "target_sparsity",
    "sparsity_penalty",
    "expected_density",
    "lambda_1",
    "lambda_2",
    "model_lr",
    "alpha_lr",
    "lambda_lr",
)

# Half a point: a stored sparsity that is further from the target is worth a warning.
_MISS = 0.005


class ProgressLine(keras.callbacks.Callback):
    """One line on the console: step, loss, score, sparsity, speed and time left.

    Args:
      total_steps: last step of the run.
      scores: dict that holds the newest score under "score".
      factorized_share: what turns a count over the dense kernels into one over
        the factors, `dense / factorized`; None shows only the first.
      disable: whether nothing is shown.
    """

    def __init__(self, total_steps, scores, factorized_share=None, disable=False):
        super().__init__()
        self.total_steps = total_steps
        self.scores = scores
        self.factorized_share = factorized_share
        self.disable = disable
        self.line = None

    def on_train_begin(self, logs=None):
        """Opens the line at the step from which the run goes on.

        Args:
          logs: dict of scalars of the step, or None.
        """
        self.line = tqdm.tqdm(
            total=self.total_steps,
            initial=int(self.model.optimizer.iterations.numpy()),
            unit="step",
            mininterval=1.0 if sys.stderr.isatty() else 30.0,
            dynamic_ncols=True,
            disable=self.disable,
        )

    def on_train_batch_end(self, batch, logs=None):
        """Updates the line.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        # Without the Lagrangian, whose size says nothing about the task.
        shown = {"loss": logs["loss"] - logs.get("lagrangian_loss", 0.0), **self.scores}
        if "expected_sparsity" in logs:
            shown["expected"] = logs["expected_sparsity"]
            shown["target"] = logs["target_sparsity"]
            if self.factorized_share is not None:
                density = 1 - logs["expected_sparsity"]
                shown["of_factors"] = 1 - density * self.factorized_share
        elif "target_sparsity" in logs:
            shown["stored"] = logs["stored_sparsity"]
            shown["target"] = logs["target_sparsity"]
        if "expected_density" in logs:
            shown["density"] = logs["expected_density"]
        self.line.set_postfix({k: f"{v:.3f}" for k, v in shown.items()}, refresh=False)
        self.line.update(int(self.model.optimizer.iterations.numpy()) - self.line.n)

    def on_train_end(self, logs=None):
        """Ends the line, if it was begun.

        Args:
          logs: dict of scalars of the step, or None.
        """
        if self.line is not None:
            self.line.close()


class Summaries(keras.callbacks.Callback):
    """Writes the training scalars for TensorBoard.

    Args:
      writer: of `tf.summary`.
      every: steps between two points.
    """

    def __init__(self, writer, every=10):
        super().__init__()
        self.writer = writer
        self.every = every

    def on_train_begin(self, logs=None):
        """Starts the clock.

        Args:
          logs: dict of scalars of the step, or None.
        """
        self.last = int(self.model.optimizer.iterations.numpy()), time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Writes every few steps.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        step = int(self.model.optimizer.iterations.numpy())
        before, then = self.last
        if step // self.every == before // self.every:
            return
        self.last = step, time.perf_counter()
        with self.writer.as_default(step):
            for tag in TAGS:
                if tag in logs:
                    tf.summary.scalar(tag, logs[tag])
            tf.summary.scalar("steps_per_second", (step - before) / (self.last[1] - then))


class LoggedFixGates(FixGates):
    """`FixGates` that logs when it has fixed them."""

    def fix(self, shift=0.0):
        """Fixes the gates now, see `FixGates.fix`."""
        super().fix(shift)
        stored = float(self.sparsity.stored_sparsity())
        with tqdm.tqdm.external_write_mode(sys.stderr):  # Not in the middle of the progress line.
            self._log(shift, stored)

    def _log(self, shift, stored):
        logging.info(
            "Gates fixed at step %d by a shift of %.4f: expected sparsity %.4f, stored %.4f, "
            "target %.4f.",
            int(self.model.optimizer.iterations.numpy()),
            shift,
            float(self.sparsity.expected_sparsity()),
            stored,
            self.target_sparsity,
        )
        if stored - self.target_sparsity > _MISS:
            logging.warning(
                "The stored sparsity is %.4f instead of %.4f: single units are that large, or many "
                "gates have the same log_alpha.",
                stored,
                self.target_sparsity,
            )


class LoggedGradualPruning(GradualPruning):
    """`GradualPruning` that logs when the masks have reached their last state."""

    def finish(self):
        """Logs step and sparsity."""
        with tqdm.tqdm.external_write_mode(sys.stderr):  # Not in the middle of the progress line.
            logging.info(
                "Masks fixed at step %d: stored sparsity %.4f, target %.4f.",
                self.step,
                self.stored,
                self.target_sparsity,
            )


class EverySteps(keras.callbacks.Callback):
    """Calls a function of step and logs every `every` steps and when training ends.

    Args:
      function: function of the step, an int, and its logs, a dict.
      every: int of at least 1, steps between two calls.
      last_step: int, end of the run.
    """

    def __init__(self, function, every, last_step):
        super().__init__()
        self.function = function
        self.every = every
        self.last_step = last_step

    def on_train_begin(self, logs=None):
        """Notes the step from which the run goes on.

        Args:
          logs: dict of scalars of the step, or None.
        """
        self.step = int(self.model.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch, logs=None):
        """Calls the function where it is time.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        before, self.step = self.step, int(self.model.optimizer.iterations.numpy())
        is_time = self.step // self.every > before // self.every
        if is_time or self.step >= self.last_step or self.model.stop_training:
            self.function(self.step, logs)


class StopOnSignal(keras.callbacks.Callback):
    """Ends the program after the step in which SIGTERM or Ctrl-C comes, with a checkpoint of it.

    A second Ctrl-C ends it at once.

    Args:
      checkpoints: the `RunCheckpoints` of the run.
      line: its `ProgressLine`, which ends before the last message.

    Raises:
      SystemExit: with 143 or 130, as a process that such a signal ends.
    """

    def __init__(self, checkpoints, line):
        super().__init__()
        self.checkpoints = checkpoints
        self.line = line
        self.received = None
        self.previous = {}

    def on_train_begin(self, logs=None):
        """Takes the signals; Python allows it in the main thread only.

        Args:
          logs: dict of scalars of the step, or None.
        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.previous[number] = signal.signal(number, self._receive)

    def on_train_batch_end(self, batch, logs=None):
        """Saves and stops where the signal came.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        if self.received is not None:
            self.checkpoints.save()
            self.checkpoints.finish()
            self.stop_if_received()

    def give_back(self):
        """Ends the taking of signals; later than training, so that its last checkpoint is whole."""
        while self.previous:
            signal.signal(*self.previous.popitem())

    def stop_if_received(self):
        """Stops where the signal came."""
        if self.received is None:
            return
        self.line.on_train_end()
        step = int(self.model.optimizer.iterations.numpy())
        logging.info(
            "Stopped by %s at step %d; the same command goes on from there.",
            self.received.name,
            step,
        )
        raise SystemExit(128 + self.received)

    def _receive(self, number, _):
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)


def write_survivors(writer, step, model):
    """Writes the kept ranks of every projection as scalars and as one heatmap; so kept units.

    Args:
      writer: of `tf.summary`.
      step: of the points.
      model: a `BertModel`.
    """
    survivors = model.budget().survivors()
    grid = np.full((model.config.num_hidden_layers, len(PROJECTIONS)), np.nan)
    with writer.as_default(step):
        for (index, name, *_), rank in zip(model.config.projections(), survivors, strict=True):
            if rank is not None:
                grid[index, PROJECTIONS.index(name)] = rank
                tf.summary.scalar(f"survivors/blocks.{index}.{name}", rank)
        for path, gate in model.encoder.unit_gates():
            if gate.calibrates:  # Masks of several tasks keep other units for each.
                tf.summary.scalar(f"survivors/{path}", np.count_nonzero(gate.keep()))
        if not np.isnan(grid).all():
            image = tf.image.decode_png(plots.rank_heatmap(grid), channels=4)
            tf.summary.image("survivors", image[tf.newaxis])
