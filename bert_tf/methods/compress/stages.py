"""From a checkpoint to a family of smaller models that meet their targets on an engine.

| in the output folder | holds |
|---|---|
| `dense` | the model to compress, where the checkpoint had to be fine-tuned first |
| `fewer_words`, `word_factors` | the same with a part of its word embedding, see `embeddings` |
| `latency_table.json` | of the engine at the shape |
| `0.5/cut`, `0.5/model`, `0.5/served` | for each target: repaired, after recovery, exported |
| `0.5/pruned_on_1/cut` ... | the same, pruned on where the export took longer than its target |
| `compress.json`, `compress.md`, `compress.html` | the table of all models, and the page |
"""

import dataclasses
import os
import tempfile

import numpy as np
from absl import logging

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.latency import latency_table
from bert_tf.methods.compress import block_repair, compress_page, embeddings, unit_costs
from bert_tf.methods.compress.dev_answers import DevAnswers
from bert_tf.methods.compress.unit_cuts import MOST_ABOVE, UnitCuts
from bert_tf.models import model_info
from bert_tf.option_fields import values_of
from bert_tf.presentation import pages
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.runs.options.distillation import DistillationOptions
from bert_tf.runs.run_inputs import RunInputs
from bert_tf.runs.run_scores import RESULTS_FILE as _SCORES
from bert_tf.serving import execution_plan, exporting, formats, latency_measurement
from bert_tf.serving.engines import ENGINES
from bert_tf.serving.servable import ServedTask
from bert_tf.serving.target import AUTO, Target
from bert_tf.serving.versions import REPORT_FILE, Version
from flop_tf import files
from flop_tf.backend import keras
from flop_tf.files import json_file

#: Written last.
REPORT = "compress.json"
_TABLE = "latency_table.json"
_TIMED_ROUNDS = 15
# How often a model is made whose export must not take longer than its target.
_MOST_TRIES = 3
# A table by small models: what it chooses is timed and corrected.
_MEASURED = {"rounds": 5, "most_blocks": 1, "number": 20}
# What a row says of its export as the report of the export does.
_EXPORTED = ("engine", "format", "file_bytes", "flips", "float_layers")


def compress(options):
    """Makes a smaller model for each target, and the table of all; goes on where it stopped.

    Args:
      options: `bert_tf.methods.compress.compress_options.CompressOptions`.

    Returns:
      The report, as in `compress.json`.

    Raises:
      ValueError: if an option or the checkpoint does not fit, or a target is out of reach.
      OSError: if a file cannot be written.
    """
    ENGINES[options.engine].check()
    keras.utils.set_random_seed(options.seed)
    compression = _Compression(options, _dense(options))
    compression.check_targets()
    rows, folder = compression.other_rows(), compression.start
    for target in options.ratios:
        row, folder = compression.reach(target, folder)
        rows.append(row)
    # A dense model of one engine is timed next to the others alone.
    timed = [row["dense_p50_ms"] for row in rows if "dense_p50_ms" in row]
    if timed and "p50_ms" not in rows[0]:
        rows[0]["p50_ms"] = float(np.median(timed))
    report = {"engine": options.engine, "optimize_for": options.optimize_for, "models": rows}
    report |= _about(compression, rows)
    files.write_json(os.path.join(options.output_dir, REPORT), report)
    text = pages.markdown_table(pages.table(rows, _columns(rows, compression.metric)))
    files.write_text(os.path.join(options.output_dir, "compress.md"), text)
    compress_page.write(report, options.output_dir)
    logging.info("\n%s", text.strip())
    return report


class _Compression:
    """The dense model, its task and data, and what a model costs."""

    def __init__(self, options, dense):
        self.options, self.dense = options, dense
        self.inputs = RunInputs(_training(options, dense, options.output_dir, do_eval=True))
        self.task = self.inputs.task
        self.metric = self.task.primary_metric
        self.teacher = embeddings.with_fewer_words(options, dense, self.inputs)
        if self.teacher != dense:  # Other ids of the same texts.
            settings = _training(options, self.teacher, options.output_dir, do_eval=True)
            self.inputs = RunInputs(settings)
        self.start = embeddings.with_factors(options, self.teacher, self.inputs)
        self.config = model_dir.read(dense).config
        self.table, self.table_file = self._measured_table()
        self.cost = self._cost()
        length, batch_size = self.inputs.options.max_seq_length, options.eval_batch_size
        data_dir = self.inputs.options.data_dir
        self.answers = DevAnswers(self.task, data_dir, length, batch_size, dense)

    def check_targets(self):
        """Raises ValueError where a target is below what a model without any unit costs."""
        config = model_dir.read(self.start).config
        bare = [
            dataclasses.replace(layer, num_heads=0, intermediate_size=0, projections={})
            for layer in config.layers
        ]
        rest = self.cost.of_model(dataclasses.replace(config, layers=tuple(bare)))
        self.floor = rest / self.cost.of_model(self.config.dense)
        for target in self.options.ratios:
            if target <= self.floor:
                raise ValueError(
                    f"Argument `targets` must be above {self.floor:.3f}, what is left of the "
                    f"{self.options.cost} without any head and neuron, received {target}."
                )

    def other_rows(self):
        """Returns the rows of the dense model, one an engine, and of the baselines."""
        every = {"all": AUTO, "same": self.options.engine}[self.options.dense_engines]
        served = os.path.join(self.options.output_dir, "dense_served")
        rows = [{**row, "model": "dense"} for row in self._rows(self.dense, served, every)]
        folders = self.options.baseline_folders
        for number, folder in enumerate(folders):
            name = os.path.basename(folder)
            served = os.path.join(self.options.output_dir, "baselines", f"{number}_{name}")
            (row,) = self._rows(folder, served, self.options.engine)
            is_clear = [os.path.basename(one) for one in folders].count(name) == 1
            rows.append({**row, "model": name if is_clear else folder})
        return rows

    def reach(self, target, parent):
        """Makes the model of a target from a larger one.

        One whose export takes longer is pruned on.

        Args:
          target: ratio to the dense model's cost.
          parent: folder of the larger model.

        Returns:
          `(row, folder)`: of the table, and of the model.
        """
        folder, wanted = os.path.join(self.options.output_dir, f"{target:g}"), target
        for number in range(1, _MOST_TRIES + 1):
            row, parent = self._make(wanted, parent, folder)
            row = {**row, "target": target, "model": f"{target:g}"}
            ratio = row.get("ratio", target) if self.options.cost == "latency" else target
            if ratio <= target * (1 + MOST_ABOVE):
                break
            logging.warning(
                "The export takes %.3f of the dense model's time for a target of %g.", ratio, target
            )
            wanted = max(wanted * target / ratio, 1.01 * self.floor)
            folder = os.path.join(self.options.output_dir, f"{target:g}", f"pruned_on_{number}")
        return row, parent

    def _make(self, wanted, parent, folder):
        """Returns the row and the folder of a model that is cut from a larger one."""
        cut, recovered = os.path.join(folder, "cut"), os.path.join(folder, "model")
        if not os.path.isfile(os.path.join(cut, model_dir.INFO_FILE)):
            self._cut(wanted, parent, cut)
        if self.options.epochs and not os.path.isfile(os.path.join(recovered, _SCORES)):
            finetuning.finetune(
                _training(
                    self.options,
                    cut,
                    recovered,
                    teacher=self.teacher,
                    num_train_epochs=self.options.epochs,
                    learning_rate=self.options.recovery_learning_rate,
                    hidden_dropout_prob=self.options.recovery_dropout,
                    attention_probs_dropout_prob=self.options.recovery_dropout,
                    **values_of(self.options, DistillationOptions),
                )
            )
        final = recovered if self.options.epochs else cut
        (row,) = self._rows(final, os.path.join(folder, "served"), self.options.engine)
        before = self.answers.of(cut)["scores"][self.metric]
        return {**row, "without_training": before}, final

    def _cost(self):
        if self.options.cost == "parameters":
            return unit_costs.Parameters(self.config)
        if self.options.cost == "bytes":
            form = formats.get(ENGINES[self.options.engine].formats[0])
            return unit_costs.Bytes(self.config, form)
        return unit_costs.Latency(self.table)

    def _measured_table(self):
        """Returns the latency table that is named, or that was measured, and the path of its file.

        It is of the dense model.
        """
        engine, shape = self.options.engine, self.options.shape
        given = [self.options.latency_table] if self.options.latency_table else []
        given = latency_table.paths_of(given, [engine])
        path = given[0] if given else os.path.join(self.options.output_dir, _TABLE)
        if not os.path.isfile(path) and not given:
            logging.info("Measuring the latencies of %s at %dx%d.", engine, *shape)
            tables = latency_measurement.measure(self.config.dense, shape, [engine], **_MEASURED)
            if isinstance(tables[engine], ValueError):
                raise tables[engine]
            tables[engine].save(path)
        here = latency_measurement.environment()
        return latency_table.load_for(path, [engine], shape, self.config, here), path

    def _cut(self, target, parent, folder):
        """Writes the model of a target without training: cut, and repaired."""
        source = self.task.with_head(model_dir.read(parent), f"the model in {parent!r}")
        examples = block_repair.some_examples(self.inputs.data.train, self.options)
        cuts = UnitCuts(source, examples)
        allowed = target * self.cost.of_model(self.config.dense)
        with tempfile.TemporaryDirectory() as scratch:
            plans = [self._plan(self.config.dense)]

            def measure(config):
                return self._measured(config, plans, scratch) / target

            measured = measure if self.options.cost == "latency" else None
            mask = cuts.choose(self.cost, allowed, measured)
            smaller, report = cuts.smaller(mask, self.options.repair)
        known = {"target": target, "repair": report, **source.inherited}
        model_dir.save(folder, smaller.model(), source.tokenizer(), **known)

    def _plan(self, config):
        return execution_plan.choose(config, self.table)[0]

    def _measured(self, config, plans, folder):
        """Returns the measured latency of an architecture over that of the first of some plans.

        Its own becomes the last of them; `folder` has the models of the others.
        """
        engine, shape = self.options.engine, self.options.shape
        form = formats.get(ENGINES[engine].formats[0])
        plans.append(self._plan(config))
        places = latency_measurement.write(plans, [form], folder)
        paths = form.path(places[-1]), form.path(places[0])
        return latency_measurement.ratio(engine, *paths, self.config, shape, _TIMED_ROUNDS)

    def _rows(self, folder, served, engine):
        """Returns the rows of a model, exported and scored, one an engine that can serve it."""
        options = self.options
        target = Target(
            engine, optimize_for=options.shape, table_files=(self.table_file,), allow_slower=True
        )
        version = Version(served, command_flags=f"{folder}\n{engine}\n")
        data = ServedTask(data_dir=options.data_dir, task_name=options.task_name, dev_examples=0)
        config = model_dir.read(folder).config
        model = {
            "folder": folder,
            "engine": engine,
            "parameters": model_info.num_parameters(config),
            "vocab_size": config.vocab_size,
            "word_embedding_rank": config.word_embedding_rank,
            "heads": [layer.num_heads for layer in config.layers],
            "neurons": [layer.intermediate_size for layer in config.layers],
            "ranks": [_ranks(layer) for layer in config.layers],
            "score": self.answers.of(folder)["scores"][self.metric],
        }
        try:
            exporting.export(folder, version, target, data)
        except ValueError as error:  # The others of the family may do.
            logging.warning("The model in %r is not exported. %s", folder, error)
            return [{**model, "left_out": str(error)}]
        path = os.path.join(version.path, REPORT_FILE)
        report = json_file.read(path, dict, "report of an export")
        return [
            {
                **model,
                **{name: exported[name] for name in _EXPORTED if name in exported},
                "path": formats.get(exported["format"]).path(version.path),
                "exported_score": exported["scores"][self.metric],
                **exported.get("speed", {}),
            }
            for exported in report["engines"]
            if "left_out" not in exported
        ]


def _dense(options):
    """Returns the folder of the dense model; fine-tunes a checkpoint that is not of the task."""
    source = read_source(options.init_checkpoint, options.bert_config_file, options.vocab_file)
    if "task" in source.info and source.has_head:
        return options.init_checkpoint
    folder = os.path.join(options.output_dir, "dense")
    if not os.path.isfile(os.path.join(folder, _SCORES)):
        finetuning.finetune(
            _training(
                options, options.init_checkpoint, folder, num_train_epochs=options.dense_epochs
            )
        )
    return folder


def _training(options, checkpoint, folder, **changes):
    """Returns the `FinetuneOptions` of a training from a checkpoint to a folder."""
    shared = values_of(options, FinetuneOptions)
    for name in values_of(options, DistillationOptions):
        del shared[name]  # They need a teacher.
    if checkpoint != options.init_checkpoint:
        shared |= {"bert_config_file": "", "vocab_file": ""}
    return FinetuneOptions(
        **{**shared, "init_checkpoint": checkpoint, "output_dir": folder, **changes}
    )


def _about(compression, rows):
    """Returns what a table leaves out: the task, the dense architecture, all answers on dev."""
    full, task = compression.config.dense, compression.task
    return {
        "task": task.name,
        "metric": compression.metric,
        "split": task.dev_splits[0],
        "text_names": list(task.text_names),
        "dense": {
            "vocab_size": full.vocab_size,
            "embedding_size": full.embedding_width,
            "hidden_size": full.hidden_size,
            "blocks": full.num_hidden_layers,
            "heads": full.num_attention_heads,
            "neurons": full.intermediate_size,
        },
        "answers": {row["model"]: compression.answers.of(row["folder"]) for row in rows},
    }


def _ranks(layer):
    """Returns the rank of each projection of a block that has factors, a dict."""
    return {name: spec.rank for name, spec in layer.projections.items() if spec.rank is not None}


def _columns(rows, metric):
    of_dense = {row["engine"]: row.get("p50_ms") for row in rows if row["model"] == "dense"}
    fastest = min((ms for ms in of_dense.values() if ms is not None), default=None)

    def to_fastest(row):
        dense = of_dense.get(row["engine"])
        if None in (fastest, dense) or not (row["model"] == "dense" or "ratio" in row):
            return None
        return row.get("ratio", 1.0) * dense / fastest

    return {
        "model": "model",
        "engine": "engine",
        "parameters": ("parameters", "{:,}"),
        "MB": lambda row: pages.number(row["file_bytes"] / 1e6) if "file_bytes" in row else "",
        metric: lambda row: pages.number(row["score"]),
        f"{metric}, exported": lambda row: pages.number(row.get("exported_score")),
        "without training": lambda row: pages.number(row.get("without_training")),
        "p50 ms": lambda row: pages.number(row.get("p50_ms")),
        "/ dense": lambda row: pages.number(
            row.get("ratio", 1.0 if row["model"] == "dense" else None)
        ),
        "/ fastest dense": lambda row: pages.number(to_fastest(row)),
    }
