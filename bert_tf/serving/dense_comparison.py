"""Speed of an export on each engine, by turns with its dense model on the same engine."""

import contextlib

import numpy as np
from absl import logging

from bert_tf import timing
from bert_tf.latency import LatencyTable
from bert_tf.models import model_info
from bert_tf.serving import execution_plan, latency_measurement, model_writer
from bert_tf.serving.engines import ENGINES, Process, by_turns
from bert_tf.serving.formats import FORMATS

# Slower by less than this is within the error of a measurement.
_LIMIT = 1.02
# Ratios in this range are measured for longer where they decide.
_CLOSE = (0.95, 1.1)
_ROUNDS, _MORE_ROUNDS = 10, 40


class DenseComparison:
    """Measures exports of a model at one shape, next to its dense model if it is pruned.

    The dense model has random weights and the forms that the same tables recommend.

    Args:
      config: the `EncoderConfig` of the model that is exported.
      tables: see `bert_tf.serving.planned_model.PlannedModels`.
      shape: `(batch size, length)` that counts.
      folder: its model directory, for sentences.
      allow_slower: whether an export may be slower than the dense model; default False.
    """

    def __init__(self, config, tables, shape, folder, allow_slower=False):
        self._folder, self._shape, self._allow_slower = str(folder), shape, allow_slower
        self._request = latency_measurement.request(config, shape)
        self._config, self._tables = config, tables

    @property
    def is_pruned(self):
        """Whether there is a dense model to compare with."""
        return model_info.stage(self._config) != "dense"

    @contextlib.contextmanager
    def writing(self, names, folder):
        """Writes the dense model of a pruned one in formats, next to what a `with` block does.

        Args:
          names: of the formats; those without a table are skipped.
          folder: path of a folder.

        Yields:
          Function that waits and returns `{name: None}`, or a ValueError where a format cannot be.
        """
        dense, tables = self._config.dense, self._tables if self.is_pruned else {}
        names = [name for name in names if isinstance(tables.get(name), LatencyTable)]
        plans, found = {}, {}
        for name in names:
            try:
                plans[name], _ = execution_plan.choose(dense, tables[name])
            except ValueError as error:
                found[name] = error
        tasks = [(plan, FORMATS[name], folder) for name, plan in plans.items()]
        with model_writer.Writing(tasks) as writing:
            yield lambda: found | dict(zip(plans, writing.results(), strict=True))

    def measure(self, paths):
        """Times engines by turns, one process a file.

        Args:
          paths: for each engine's name and format the paths to load, a tuple: the export's and, of
            a pruned model, that of its dense model.

        Returns:
          For each of them a dict: `p50_ms` and, of a pruned model, `dense_p50_ms` and `ratio`, the
          median over rounds; or a ValueError, where the engine cannot run it.
        """
        found = {}
        with contextlib.ExitStack() as stack:
            for key, files in paths.items():
                try:
                    found[key] = [self._started(key[0], path, stack) for path in files]
                except ValueError as error:
                    found[key] = error
            running = {key: one for key, one in found.items() if isinstance(one, list)}
            logging.info(
                "Timing %s by turns at %dx%d.", ", ".join(key[0] for key in running), *self._shape
            )
            for key, seconds in self._seconds(running).items():
                found[key] = _speed(seconds)
        return found

    def check(self, engine_name, format_name, speed):
        """Raises ValueError where an export is slower than the dense model on the same engine.

        Args:
          engine_name: name of the engine.
          format_name: name of the format.
          speed: dict of `measure`.
        """
        if "ratio" not in speed:
            return
        shape = "{}x{}".format(*self._shape)
        name = f"{format_name} by {engine_name}"
        logging.info("%s runs at %.2f x of dense at %s.", name, speed["ratio"], shape)
        if speed["ratio"] > _LIMIT and not self._allow_slower:
            raise ValueError(
                f"The model in {self._folder!r} is slower than the dense model of its config: as "
                f"{name} {speed['p50_ms']:.4g} ms against {speed['dense_p50_ms']:.4g} ms at "
                f"{shape}, {speed['ratio']:.3f} x, above {_LIMIT}; pass --allow_slower "
                "to export it all the same, or by --optimize_for the shape that counts."
            )

    def _started(self, engine_name, path, stack):
        """Returns the process of an engine that has answered once."""
        process = stack.enter_context(Process(ENGINES[engine_name], path))
        process.turn(self._request, seconds=0)
        return process

    def _seconds(self, running):
        """Returns the seconds of the lists of processes in a dict, longer where that decides."""
        turns = iter(by_turns(sum(running.values(), []), self._request, _ROUNDS))
        seconds = {key: [next(turns) for _ in some] for key, some in running.items()}
        for key, found in ({} if self._allow_slower else seconds).items():
            if len(found) == 2 and _CLOSE[0] < timing.ratio(*found) < _CLOSE[1]:
                more = by_turns(running[key], self._request, _MORE_ROUNDS, warmup_rounds=0)
                seconds[key] = [first + second for first, second in zip(found, more, strict=True)]
        return seconds


def _speed(seconds):
    medians = [1e3 * float(np.median(np.concatenate(turns))) for turns in seconds]
    found = dict(zip(("p50_ms", "dense_p50_ms"), medians, strict=False))
    return found if len(seconds) == 1 else {**found, "ratio": timing.ratio(*seconds)}
