"""What an export is made for: formats, the shape of requests that counts, and a device."""

import dataclasses

from absl import logging

from bert_tf import timing
from bert_tf.serving import formats, latency_table

#: Batch size and length that decide by default.
DEFAULT_SHAPE = (8, 128)


@dataclasses.dataclass(frozen=True)
class Target:
    """What an export is made for.

    Args:
      format_names: names in `bert_tf.serving.formats.FORMATS`, at least one; default SavedModel.
      optimize_for: `(batch size, length)` that decides how projections are computed, see
        `execution_plan`; None, the default, takes `DEFAULT_SHAPE`, or the positions of a shorter
        model.
      table_file: path of the device's latency table at that shape; the default "" measures the
        device of this process.
      allow_slower: whether a pruned model is exported that is slower than its dense model; default
        False.
    """

    format_names: tuple = ("saved_model",)
    optimize_for: tuple | None = None
    table_file: str = ""
    allow_slower: bool = False

    def formats(self):
        """Returns each `Format` by its name.

        Raises:
          ValueError: if none is named, a name is unknown, or a package is missing.
        """
        if not self.format_names:
            raise ValueError(
                f"Argument `format_names` must name one of {list(formats.FORMATS)}, received none."
            )
        return {name: formats.get(name) for name in self.format_names}

    def shape(self, config):
        """Returns the `(batch size, length)` that decides for a model.

        Args:
          config: its `EncoderConfig`.

        Raises:
          ValueError: if the batch size is below 1 or the model has fewer positions.
        """
        positions = config.num_positions
        usual = DEFAULT_SHAPE[0], min(DEFAULT_SHAPE[1], positions)
        batch_size, length = self.optimize_for or usual
        if batch_size < 1 or not 1 <= length <= positions:
            raise ValueError(
                "Argument `optimize_for` must be a batch size from 1 on and a length in "
                f"[1, {positions}], the positions of the model, received {batch_size}x{length}."
            )
        return batch_size, length

    def table(self, config):
        """Returns the latency table in `table_file`, or of this device.

        Args:
          config: the `EncoderConfig` of the model.

        Raises:
          ValueError: if the file holds no table, or one of another shape.
        """
        shape = self.shape(config)
        if not self.table_file:
            logging.info("Measuring how long layers at %dx%d take on this device.", *shape)
            return latency_table.measure(config, shape, all_ranks=False)
        table = latency_table.LatencyTable.load(self.table_file)
        if table.shape != shape:
            raise ValueError(
                f"The latency table {self.table_file!r} must be of "
                f"optimize_for={shape[0]}x{shape[1]}, received one of "
                f"{table.shape[0]}x{table.shape[1]}."
            )
        measured, here = map(_device, (table.environment, timing.environment()))
        if measured != here:
            logging.warning("The latency table is of %s; this device is %s.", measured, here)
        return table


def _device(environment):
    """Returns a text that names device, cores and threads of an environment."""
    device, cores, threads = map(environment.get, ("device", "cores", "intra_op_threads"))
    return f"{device}, {cores} cores, {threads or 'all'} threads of an operation"
