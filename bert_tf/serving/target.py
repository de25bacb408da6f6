"""What an export is made for: engines or formats, the shape of requests that counts, a device."""

import dataclasses
import importlib.util

from absl import logging

from bert_tf.latency import latency_table
from bert_tf.serving import engines, formats, latency_measurement

#: Takes every engine that is installed.
AUTO = "auto"

#: Batch size and length that decide by default.
DEFAULT_SHAPE = (8, 128)


@dataclasses.dataclass(frozen=True)
class Target:
    """What an export is made for.

    Args:
      engine: name in `bert_tf.serving.engines.ENGINES`, or `AUTO` for all at hand; default
        TensorFlow. Its format is written.
      format_names: names in `bert_tf.serving.formats.FORMATS` to write instead, each for the engine
        that reads it; default none.
      optimize_for: `(batch size, length)` that decides how projections are computed, see
        `execution_plan`; None, the default, takes `DEFAULT_SHAPE`, or the positions of a shorter
        model.
      table_files: paths of the device's latency tables at that shape, each of another engine, or
        of the folder of an export that has such; what is not among them is measured on the device
        of this process; default none.
      allow_slower: whether a pruned model is exported that is slower than its dense model; default
        False.
    """

    engine: str = "tensorflow"
    format_names: tuple = ()
    optimize_for: tuple | None = None
    table_files: tuple = ()
    allow_slower: bool = False

    def chosen(self):
        """Returns `(name of an engine, name of the format that it reads)`s to export, a list.

        Raises:
          ValueError: if a name is unknown, or a package is missing.
        """
        if self.format_names:
            for name in self.format_names:
                formats.get(name)
            return [(engines.of_format(name), name) for name in self.format_names]
        if self.engine == AUTO:
            found = [(name, engine.formats[0]) for name, engine in engines.ENGINES.items()]
            at_hand = [pair for pair in found if _is_at_hand(*pair)]
            if not at_hand:
                raise ValueError("No engine is installed; run pip install 'flop-tf[export]'.")
            return at_hand
        engine = engines.ENGINES[self.engine]
        engine.check()
        formats.get(engine.formats[0])
        return [(self.engine, engine.formats[0])]

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

    def tables(self, config, chosen):
        """Returns the latency tables by which a model is planned: in `table_files` or measured.

        Args:
          config: the `EncoderConfig` of the model.
          chosen: of `chosen`; a format is planned for the first of its engines.

        Returns:
          `{name of a format: LatencyTable}`; a ValueError in its place where the engine cannot run
          what is measured.

        Raises:
          ValueError: if a file holds no table, or one of another engine, shape or machine.
        """
        names = {form: engine for engine, form in reversed(chosen)}
        engine_names = [engine for engine in dict(chosen) if engine in names.values()]
        shape, here = self.shape(config), latency_measurement.environment()
        loaded = [
            latency_table.load_for(path, engine_names, shape, config, here)
            for path in latency_table.paths_of(self.table_files, engine_names)
        ]
        found = {table.engine: table for table in loaded}
        if len(found) < len(loaded):
            raise ValueError(
                "Argument `table_files` must name one latency table for an engine, received tables "
                f"of {', '.join(table.engine for table in loaded)}."
            )
        if missing := [name for name in engine_names if name not in found]:
            where = ", ".join(missing)
            logging.info("Measuring the latencies of %s at %dx%d on this device.", where, *shape)
            found |= latency_measurement.measure(
                config, shape, missing, **latency_measurement.QUICK
            )
        return {name: found[engine] for name, engine in names.items()}


def _is_at_hand(engine_name, format_name):
    """Returns whether an engine is installed, and what writes its format."""
    if not engines.ENGINES[engine_name].is_installed or format_name not in formats.FORMATS:
        return False
    packages = formats.FORMATS[format_name].packages
    return all(importlib.util.find_spec(package) for package in packages)
