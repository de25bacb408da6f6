"""From a checkpoint to a family of smaller models that meet their targets on an engine.

| in the output folder | holds |
|---|---|
| `dense` | the model to compress, where the checkpoint had to be fine-tuned first |
| `fewer_words`, `word_factors` | the same with a part of its word embedding, see `embeddings` |
| `latency_table.json` | of the engine at the shape |
| `0.5/gated`, `0.5/chosen` | for each target, where gates choose: trained, and what they leave |
| `0.5/cut`, `0.5/model`, `0.5/served` | for each target: repaired, after recovery, exported |
| `0.5/pruned_on_1/cut` ... | the same, pruned on where the export costs more than its target |
| `compress.json`, `compress.md`, `compress.html` | the table of all models, and the page |
"""

import dataclasses
import os

import numpy as np
from absl import logging

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.compress import (
    block_repair,
    compress_page,
    embeddings,
    exported_rows,
    gated_choice,
    unit_energy,
)
from bert_tf.methods.compress.dev_answers import DevAnswers
from bert_tf.methods.compress.engine_cost import EngineCost
from bert_tf.methods.compress.unit_cuts import MOST_ABOVE, UnitCuts
from bert_tf.option_fields import items, values_of
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.runs.options.distillation import DistillationOptions
from bert_tf.runs.run_inputs import RunInputs
from bert_tf.runs.run_scores import RESULTS_FILE as _SCORES
from bert_tf.serving.engines import ENGINES
from bert_tf.serving.target import AUTO
from bert_tf.surgery import units, vocabulary
from bert_tf.tasks import registry
from flop_tf import files
from flop_tf.backend import keras

#: Written last.
REPORT = "compress.json"
# How often a model is made whose export must not cost more than its target.
_MOST_TRIES = 3


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
    source, task, cost = _checked(options)
    compression = _Compression(options, _dense(options, source, task), cost)
    rows, folder = compression.other_rows(), compression.start
    for target in options.parsed_targets:
        row, folder = compression.reach(target, folder)
        rows.append(row)
    # A dense model of one engine is timed next to the others alone.
    timed = [row["dense_p50_ms"] for row in rows if "dense_p50_ms" in row]
    if timed and "p50_ms" not in rows[0]:
        rows[0]["p50_ms"] = float(np.median(timed))
    report = {"engine": options.engine, "optimize_for": options.optimize_for, "models": rows}
    report |= compression.about(rows)
    files.write_json(os.path.join(options.output_dir, REPORT), report)
    text = exported_rows.table(rows, report["metric"])
    files.write_text(os.path.join(options.output_dir, "compress.md"), text)
    compress_page.write(report, options.output_dir)
    logging.info("\n%s", text.strip())
    return report


class _Compression:
    """The dense model, its task and data, and the models that are made of it."""

    def __init__(self, options, dense, cost):
        self.options, self.dense, self.cost = options, dense, cost
        inputs = RunInputs(_training(options, dense, options.output_dir, do_eval=True))
        self.teacher = embeddings.with_fewer_words(options, dense, inputs)
        if self.teacher != dense:  # Other ids of the same texts.
            inputs = RunInputs(_training(options, self.teacher, options.output_dir, do_eval=True))
        self.examples = block_repair.some_examples(inputs.data.train, options)
        self.start = embeddings.with_factors(options, self.teacher, inputs)
        self.config = model_dir.read(self.start).config
        cost.check_targets(self.config)
        self.task, self.data = inputs.task, inputs.data
        self.metric, length = self.task.primary_metric, inputs.options.max_seq_length
        self.answers = DevAnswers(
            self.task, options.data_dir, length, options.eval_batch_size, dense
        )
        named = dataclasses.replace(options, max_seq_length=length)
        self.rows = exported_rows.ExportedRows(named, cost.table_file, self.answers, self.metric)
        self.dense_path = None  # Of its export for the engine of the targets.

    def other_rows(self):
        """Returns the rows of the dense model, one an engine, and of the baselines."""
        every = {"all": AUTO, "same": self.options.engine}[self.options.dense_engines]
        served = os.path.join(self.options.output_dir, "dense_served")
        rows = [{**row, "model": "dense"} for row in self.rows.of(self.dense, served, every)]
        paths = {row["engine"]: row.get("path") for row in rows}
        self.dense_path = paths.get(self.options.engine)
        folders = self.options.baseline_folders
        names = [os.path.basename(folder) for folder in folders]
        names += ["dense", *map(str, self.options.parsed_targets)]
        for number, (folder, name) in enumerate(zip(folders, names, strict=False)):
            served = os.path.join(self.options.output_dir, "baselines", f"{number}_{name}")
            (row,) = self.rows.of(folder, served, self.options.engine)
            rows.append({**row, "model": name if names.count(name) == 1 else folder})
        return rows

    def reach(self, target, parent):
        """Makes the model of a target from a larger one.

        One whose export costs more is pruned on.

        Args:
          target: a `Target`.
          parent: folder of the larger model.

        Returns:
          `(row, folder)`: of the table, and of the model.
        """
        folder, wanted = os.path.join(self.options.output_dir, str(target)), target
        if self.options.gate_epochs:
            parent = self._chosen_by_gates(target, parent, folder)
        for number in range(1, _MOST_TRIES + 1):
            row, parent = self._make(wanted, parent, folder)
            row = {**row, "target": str(target), "model": str(target)}
            config = model_dir.read(parent).config
            above = self.cost.exported(row, config, target)
            is_timed = self.options.cost == "latency" and "ratio" in row and self.dense_path
            if above > 1 + MOST_ABOVE and is_timed:
                row = self.cost.timed_again(row, self.dense_path)
                above = self.cost.exported(row, config, target)
            if above <= 1 + MOST_ABOVE:
                break
            logging.warning("The export of target %s costs %.3f times as much.", target, above)
            lowest = self.cost.lowest(self.config, target).times(1.01)
            wanted = max(wanted.times(1 / above), lowest, key=lambda one: one.number)
            folder = os.path.join(self.options.output_dir, str(target), f"pruned_on_{number}")
        return row, parent

    def _chosen_by_gates(self, target, parent, folder):
        """Returns the folder of what gates leave of a larger model for a target."""
        chosen, config = os.path.join(folder, "chosen"), model_dir.read(parent).config
        groups = [kind for kind in items(self.options, "groups") if units.has_units(config, kind)]
        steering = self.cost.of_gates(target)
        if not groups or steering["target_sparsity"] <= 0:
            return parent
        if not os.path.isfile(os.path.join(chosen, model_dir.INFO_FILE)):
            training = self._recovery(
                parent,
                os.path.join(folder, "gated"),
                num_train_epochs=self.options.gate_epochs,
                groups=",".join(groups),
                **steering,
            )
            dataset = block_repair.batches(self.examples)
            gated_choice.write(str(target), training, dataset, chosen, self.options.repair)
        return chosen

    def _recovery(self, checkpoint, folder, **changes):
        """Returns the `FinetuneOptions` by which a smaller model learns from the teacher."""
        return _training(
            self.options,
            checkpoint,
            folder,
            teacher=self.teacher,
            learning_rate=self.options.recovery_learning_rate,
            hidden_dropout_prob=self.options.recovery_dropout,
            attention_probs_dropout_prob=self.options.recovery_dropout,
            **values_of(self.options, DistillationOptions),
            **changes,
        )

    def _make(self, wanted, parent, folder):
        """Returns the row and the folder of a model that is cut from a larger one."""
        cut, recovered = os.path.join(folder, "cut"), os.path.join(folder, "model")
        if not os.path.isfile(os.path.join(cut, model_dir.INFO_FILE)):
            self._cut(wanted, parent, cut)
        if self.options.epochs and not os.path.isfile(os.path.join(recovered, _SCORES)):
            epochs = self.options.epochs
            finetuning.finetune(self._recovery(cut, recovered, num_train_epochs=epochs))
        final = recovered if self.options.epochs else cut
        (row,) = self.rows.of(final, os.path.join(folder, "served"), self.options.engine)
        before = self.answers.of(cut)["scores"][self.metric]
        return {**row, "before_recovery": before}, final

    def _cut(self, target, parent, folder):
        """Writes the model of a target before its recovery: cut, and repaired."""
        source = self.task.with_head(model_dir.read(parent), f"the model in {parent!r}")
        ordered_by = self._by_fisher if self.options.unit_importance == "fisher" else None
        cuts = UnitCuts(source, self.examples, items(self.options, "groups"), ordered_by)
        with self.cost.measuring(target) as measure:
            chosen = cuts.choose(self.cost.cost, self.cost.allowed(target), measure)
        smaller, report = cuts.smaller(chosen, self.options.repair)
        known = {"target": str(target), "repair": report, **source.inherited}
        model_dir.save(folder, smaller.model(), source.tokenizer(), **known)

    def _by_fisher(self, energies, model):
        """See `UnitCuts`."""
        batches = self.data.small_batches(self.options.calibration_examples)
        return unit_energy.with_fisher(energies, model, batches, self.task.importance_loss())

    def about(self, rows):
        """Returns what a table leaves out: the task, the dense architecture, all answers on dev.

        Args:
          rows: of the table.
        """
        full, task = model_dir.read(self.dense).config.dense, self.task
        return {
            "task": task.name,
            "metric": self.metric,
            "split": task.dev_splits[0],
            "text_names": list(task.text_names),
            "dense": {
                "vocab_size": full.vocab_size,
                "embedding_size": full.embedding_width,
                "hidden_size": full.hidden_size,
                "blocks": full.num_hidden_layers,
                "heads": full.num_attention_heads,
                "head_size": full.head_size,
                "neurons": full.intermediate_size,
            },
            "answers": {row["model"]: self.answers.of(row["folder"]) for row in rows},
        }


def _checked(options):
    """Returns checkpoint, task and `EngineCost`; bad input shows before anything is trained."""
    task = registry.of_options(_training(options, options.init_checkpoint, options.output_dir))
    if (options.epochs or options.gate_epochs) and task.head_class.is_tied:
        raise ValueError(
            f"Arguments `train` and `gate_epochs` must be none and 0 for the task {task.name!r}, "
            "for a smaller model learns the logits of each class, received "
            f"{options.train!r} and {options.gate_epochs}."
        )
    source = read_source(options.init_checkpoint, options.bert_config_file, options.vocab_file)
    if not task.needs_finetuning:
        task.with_head(source, f"the checkpoint {options.init_checkpoint!r}")
    config = dataclasses.replace(source.config, **task.head)
    if config.has_gates or any(spec.rank is not None for *_, spec, _ in config.projections()):
        raise ValueError(
            f"Argument `init_checkpoint` must be a model without gates and factors of its "
            f"projections, but {options.init_checkpoint!r} has such; take the model before them."
        )
    for folder in options.baseline_folders:
        task.with_head(model_dir.read(folder), f"the baseline {folder!r}")
    if options.cut_vocabulary:
        vocabulary.needed(source.tokenizer(options.do_lower_case))
    smallest = embeddings.smallest(options, config)
    block_repair.check_number(len(task.read(options.data_dir, "train")))
    cost = EngineCost(options, config)
    cost.check_targets(smallest)
    return source, task, cost


def _dense(options, source, task):
    """Returns the folder of the dense model; fine-tunes a checkpoint that is not of the task."""
    if "task" in source.info and source.has_head:
        return options.init_checkpoint
    folder = os.path.join(options.output_dir, "dense")
    if not os.path.isfile(os.path.join(folder, _SCORES)):
        # Others are scored as they are.
        changes = {} if task.needs_finetuning else {"do_train": False}
        finetuning.finetune(_training(options, options.init_checkpoint, folder, **changes))
    return folder


def _training(options, checkpoint, folder, **changes):
    """Returns the `FinetuneOptions` of a training from a checkpoint to a folder."""
    shared = values_of(options, FinetuneOptions)
    # These need a teacher, or a target of gates.
    for name in (*values_of(options, DistillationOptions), "groups", "latency_table"):
        del shared[name]
    if checkpoint != options.init_checkpoint:
        shared |= {"bert_config_file": "", "vocab_file": ""}
    return FinetuneOptions(
        **{**shared, "init_checkpoint": checkpoint, "output_dir": folder, **changes}
    )
