"""The checkpoints of a run: everything it needs to go on as if it had never stopped."""

import concurrent.futures
import contextlib
import glob
import os
import shutil

import tensorflow as tf
from absl import logging

from bert_tf.runs import run_folder


class RunCheckpoints:
    """Writes the newest few checkpoints of a run during the training, and reads them.

    Batches and random draws depend on seed and step alone, so variables are all
    there is to save. TensorFlow copies them and writes the copies in a thread of
    its own; a checkpoint counts once it is complete.

    Attributes:
      folder: of the run.
      writes: whether this process writes files.

    Args:
      folder: of the run.
      keep: how many of the newest stay.
      writes: whether this process writes them; of several workers one does.
    """

    def __init__(self, folder, keep, writes=True):
        self.folder = folder
        self._directory = os.path.join(folder, run_folder.CHECKPOINTS)
        self._keep = keep
        self.writes = writes
        self._repair_list()

    @property
    def found(self):
        """Whether the run has a checkpoint to go on from."""
        return tf.train.latest_checkpoint(self._directory) is not None

    def track(self, step, **parts):
        """Sets what is saved.

        Args:
          step: variable of the number of updates.
          **parts: trackable objects by name.
        """
        self._step = step
        self._checkpoint = tf.train.Checkpoint(**parts)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, self._directory, max_to_keep=self._keep, step_counter=step
        )

    def restore(self):
        """Goes back to the newest checkpoint that can be read.

        Returns:
          Whether there is one, a bool.

        Raises:
          ValueError: if none can be read, or one is of another architecture.
        """
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_consumed()
            except AssertionError as error:
                raise self._foreign(path) from error
            except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
                if "shape" in str(error).replace(path, "").lower():
                    raise self._foreign(path) from error
                logging.warning("The checkpoint %s is incomplete or damaged.", path)
                continue
            logging.info("Going on from step %d.", int(self._step.numpy()))
            return True
        if self._manager.checkpoints:
            raise ValueError(
                f"No checkpoint in {self._directory!r} can be read, all of them are incomplete or "
                "damaged; delete that folder to start anew."
            )
        return False

    def save(self):
        """Copies the state of this step and starts to write it.

        Raises:
          OSError: if this or an earlier checkpoint cannot be written.
        """
        if not self.writes:
            return
        step = int(self._step.numpy())
        options = tf.train.CheckpointOptions(experimental_enable_async_checkpoint=True)
        try:
            # A thread of its own is outside of the strategy's scope, in which TensorFlow would
            # make the copies variables of all workers.
            with concurrent.futures.ThreadPoolExecutor(1) as outside:
                outside.submit(self._manager.save, step, options=options).result()
        except tf.errors.OpError as error:
            raise OSError(
                f"A checkpoint up to step {step} cannot be written to {self._directory!r}: "
                f"{error.message}."
            ) from error

    def finish(self):
        """Waits until the last checkpoint is written.

        Raises:
          OSError: if it cannot be written.
        """
        if not self.writes:
            return
        self._checkpoint.sync()
        written = self._manager.latest_checkpoint or ""
        if not written.endswith(f"-{int(self._step.numpy())}"):
            self.save()  # Raises what the thread met.
            self._checkpoint.sync()
        for left in glob.glob(os.path.join(glob.escape(self._directory), "*_temp")):
            shutil.rmtree(left, ignore_errors=True)  # Of a process that was killed.

    def _repair_list(self):
        """Lists the checkpoints anew where TensorFlow's list of them is damaged."""
        path = os.path.join(self._directory, "checkpoint")
        with contextlib.suppress(ValueError):  # Where it names none.
            if not os.path.isfile(path) or tf.train.get_checkpoint_state(self._directory):
                return
        indices = glob.glob(os.path.join(glob.escape(self._directory), "ckpt-*.index"))
        indices.sort(key=os.path.getmtime)
        found = [index.removesuffix(".index") for index in indices]
        logging.warning("The file %s is damaged, %d checkpoints lie next to it.", path, len(found))
        if found:
            times = [os.path.getmtime(index) for index in indices]
            tf.compat.v1.train.update_checkpoint_state(
                self._directory, found[-1], found, all_model_checkpoint_timestamps=times
            )
        else:
            os.remove(path)

    def _foreign(self, path):
        return ValueError(
            f"The checkpoint {path!r} is of a model or a training of other variables; choose "
            f"another output folder, or delete {self._directory!r} to start anew."
        )


def check_end(model, num_steps, folder):
    """Raises OSError where training ended before its last step although nobody stopped it.

    Keras takes an error of a file that cannot grow, in a callback, for the end of the data.

    Args:
      model: a compiled model.
      num_steps: the step to train to.
      folder: of the run.
    """
    step = int(model.optimizer.iterations.numpy())
    if step < num_steps:
        raise OSError(
            f"Training ended at step {step} of {num_steps}: a file in {folder!r} could not be "
            "written to; make room and start the same command again."
        )
