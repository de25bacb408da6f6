"""What models cost on the engine that serves them, by a table and measured."""

import contextlib
import dataclasses
import os
import tempfile

import numpy as np
from absl import logging

from bert_tf import timing
from bert_tf.latency import latency_table
from bert_tf.methods.compress import unit_choice, unit_costs
from bert_tf.models import model_info
from bert_tf.option_fields import items
from bert_tf.serving import execution_plan, formats, latency_measurement
from bert_tf.serving.engines import ENGINES

_TABLE = "latency_table.json"
_ROUNDS = 15
# A table is off by some hundredths, and a file holds more than weights.
_ROUGHLY = 1.1
# So much slower than by the table, the dense model shares the machine with other work.
_BUSY = 1.3
# A table by small models: what it chooses is timed and corrected.
_MEASURED = {"rounds": 5, "most_blocks": 1, "number": 20}


class EngineCost:
    """The cost that options name, of models that are cut from a dense one.

    Attributes:
      cost: the `unit_costs.Cost`.
      table: the `LatencyTable` of the engine: the one that options name, or a measured one.
      table_file: path of its file.

    Args:
      options: `CompressOptions`.
      config: the `EncoderConfig` of the model to compress; what it lacks of its dense form counts.

    Raises:
      ValueError: if the table does not fit, or the engine cannot run such models.
    """

    def __init__(self, options, config):
        self._options, self._dense = options, config.dense
        self._form = formats.get(ENGINES[options.engine].formats[0])
        self.table_file = self._table_file()
        here = latency_measurement.environment()
        self.table = latency_table.load_for(
            self.table_file, [options.engine], options.shape, self._dense, here
        )
        self.cost = self._cost()

    def allowed(self, target):
        """Returns the cost that a target allows.

        Args:
          target: a `Target`.
        """
        return target.amount(self.cost.of_model(self._dense))

    def of_gates(self, target):
        """Returns what steers gates to a target, a dict of `FinetuneOptions`.

        Gates are steered by the seconds of the table, or by kernel parameters; other costs fall
        nearly in proportion, and the cut afterwards corrects what is missing.

        Args:
          target: a `Target`.
        """
        dense = self.cost.of_model(self._dense)
        removed = dense - self.allowed(target)
        if self._options.cost == "latency":
            return {"target_sparsity": removed / dense, "latency_table": self.table_file}
        bare = unit_choice.smallest(self._dense, items(self._options, "groups"))
        full, least = map(model_info.num_kernel_parameters, (self._dense, bare))
        share = removed / (dense - self.cost.of_model(bare))
        return {"target_sparsity": share * (full - least) / full}

    def lowest(self, config, target):
        """Returns the least that the groups of the options may leave, in the unit of a target.

        Args:
          config: the `EncoderConfig` of the model that they are removed from.
          target: a `Target`.

        Returns:
          A `Target`.
        """
        bare = unit_choice.smallest(config, items(self._options, "groups"))
        return target.times(self.cost.of_model(bare) / self.allowed(target))

    def check_targets(self, config):
        """Raises ValueError where a target is below the floor, or far above the dense model.

        Args:
          config: see `lowest`.
        """
        for target in self._options.parsed_targets:
            lowest = self.lowest(config, target)
            if target.number <= lowest.number:
                raise ValueError(
                    f"Argument `targets` must be above {lowest.number:.3f}{target.unit}, what is "
                    f"left of the {self._options.cost} with the fewest {self._options.groups}, "
                    f"received {target}; name more `groups`, or take a higher one."
                )
            most = target.times(self.cost.of_model(self._dense) / self.allowed(target))
            if target.number > _ROUGHLY * most.number:
                raise ValueError(
                    f"Argument `targets` must be at most {most.number:.3f}{target.unit}, the "
                    f"{self._options.cost} of the dense model, received {target}."
                )

    def exported(self, row, config, target):
        """Returns what an exported model costs over its target.

        Args:
          row: of `exported_rows.ExportedRows.of`.
          config: the `EncoderConfig` of the model.
          target: a `Target`.

        Returns:
          A float; 1 where the row has no measurement of it.
        """
        if self._options.cost == "latency" and "ratio" in row:
            ratio = 1.0 if self._is_dense(self._plan(config)) else row["ratio"]
            return self._of_ratio(ratio, target)
        if self._options.cost == "bytes" and target.unit:  # Shares are of the weights alone.
            return row.get("file_bytes", self.allowed(target)) / self.allowed(target)
        return 1.0

    def timed_again(self, row, dense_path):
        """Returns a row with the lower one of its ratio and a new one, and the times of that.

        What else runs on a machine slows small models more, whose ratio is then too high.

        Args:
          row: of `exported_rows.ExportedRows.of`.
          dense_path: of the dense model's file, which the same engine reads.
        """
        paths = [row["path"], dense_path]
        found = self._turns(paths, row["vocab_size"])
        ratio = timing.ratio(*found)
        if ratio >= row["ratio"]:
            return row
        own, dense = (1e3 * float(np.median(np.concatenate(one))) for one in found)
        return {**row, "ratio": ratio, "p50_ms": own, "dense_p50_ms": dense}

    @contextlib.contextmanager
    def measuring(self, target):
        """Yields what measures models for a target, for a `with` block.

        Args:
          target: a `Target`.

        Yields:
          Function of an `EncoderConfig` that returns its latency over the target; None where the
          cost needs no measurement.
        """
        if self._options.cost != "latency":
            yield None
            return
        with tempfile.TemporaryDirectory() as scratch:
            plans = [self._plan(self._dense)]

            def measure(config):
                plan = self._plan(config)
                if self._is_dense(plan):
                    return self._of_ratio(1.0, target)
                plans.append(plan)
                return self._measured(plans, scratch, target)

            yield measure

    def _plan(self, config):
        return execution_plan.choose(config, self.table)[0]

    def _is_dense(self, plan):
        """Returns whether a plan computes as the dense model: two times differ by chance alone."""
        one, other = plan.config, self._plan(self._dense).config
        return (one.layers, one.word_embedding_rank) == (other.layers, other.word_embedding_rank)

    def _measured(self, plans, folder, target):
        """Returns the latency of the last plan over a target; a folder has the models."""
        places = latency_measurement.write(plans, [self._form], folder)
        paths = [self._form.path(place) for place in (places[-1], places[0])]
        found = self._turns(paths, plans[-1].config.vocab_size)
        return self._of_ratio(timing.ratio(*found), target)

    def _turns(self, paths, vocab_size):
        """Returns the seconds of two files by turns; the second one is of the dense model."""
        engine, shape = self._options.engine, self._options.shape
        # The smaller model may lack words of the dense one.
        known = dataclasses.replace(self._dense, vocab_size=min(vocab_size, self._dense.vocab_size))
        found = latency_measurement.turns(engine, paths, known, shape, _ROUNDS)
        slower = np.median(np.concatenate(found[1])) / self.table.predict(self._dense)
        if slower > _BUSY:
            logging.warning(
                "The dense model takes %.1f times as long as in the latency table: the machine is "
                "busy, which slows small models more, and they are made smaller than they need be.",
                slower,
            )
        return found

    def _of_ratio(self, ratio, target):
        """Returns the latency over a target of a model whose ratio to the dense one is measured.

        Milliseconds are the ratio times the table's for the dense model: what else runs while
        models are timed by turns slows both alike.
        """
        return ratio * self.cost.of_model(self._dense) / self.allowed(target)

    def _cost(self):
        if self._options.cost == "parameters":
            return unit_costs.Parameters()
        if self._options.cost == "multiplications":
            return unit_costs.Multiplications(self._options.shape)
        if self._options.cost == "bytes":
            return unit_costs.Bytes(self._form)
        return unit_costs.Latency(self.table)

    def _table_file(self):
        """Returns the path of the table; measures it where none is named and none was measured."""
        options, engine = self._options, self._options.engine
        given = [options.latency_table] if options.latency_table else []
        if found := latency_table.paths_of(given, [engine]):
            return found[0]
        path = os.path.join(options.output_dir, _TABLE)
        if not os.path.isfile(path):
            logging.info("Measuring the latencies of %s at %dx%d.", engine, *options.shape)
            tables = latency_measurement.measure(self._dense, options.shape, [engine], **_MEASURED)
            if isinstance(tables[engine], ValueError):
                raise tables[engine]
            tables[engine].save(path)
        return path
