"""The table of models: each is exported, scored and timed on an engine, and is a row."""

import os

from absl import logging

from bert_tf.checkpoints import model_dir
from bert_tf.models import model_info
from bert_tf.presentation import pages
from bert_tf.serving import exporting, formats
from bert_tf.serving.servable import ServedTask
from bert_tf.serving.target import Target
from bert_tf.serving.versions import REPORT_FILE, Version
from flop_tf.files import json_file

# What a row says of its export as the report of the export does.
_EXPORTED = ("engine", "format", "file_bytes", "flips", "largest_angle", "float_layers")


class ExportedRows:
    """Exports models of a task, and says what each costs and answers.

    Args:
      options: `CompressOptions`, with the length and the folder of the task's data.
      table_file: path of the latency table of its engine.
      answers: the `DevAnswers` of the task.
      metric: name of the score.
    """

    def __init__(self, options, table_file, answers, metric):
        self._options, self._table_file = options, table_file
        self._answers, self._metric = answers, metric

    def of(self, folder, served, engine):
        """Returns the rows of a model, exported and scored, one an engine that can serve it.

        Args:
          folder: of the model.
          served: folder of its export, which is made unless it is there.
          engine: name of the engine, or `bert_tf.serving.target.AUTO`.

        Returns:
          List of dicts of plain data; of a model that no engine can serve one, with the reason as
          `left_out`.
        """
        options, model = self._options, self._model(folder)
        # A format that several engines read is planned for the first of them.
        planned = {form: name for name, form in reversed(Target(engine).chosen())}
        tables = (self._table_file,) if options.engine in planned.values() else ()
        target = Target(engine, optimize_for=options.shape, table_files=tables, allow_slower=True)
        version = Version(served, command_flags=f"{folder}\n{engine}\n")
        data = ServedTask(
            data_dir=options.data_dir,
            task_name=options.task_name,
            tfds=options.tfds,
            max_seq_length=options.max_seq_length,
            dev_examples=0,
        )
        try:
            exporting.export(folder, version, target, data)
        except ValueError as error:  # The others of the family may do.
            logging.warning("The model in %r is not exported. %s", folder, error)
            return [{**model, "engine": engine, "left_out": str(error)}]
        path = os.path.join(version.path, REPORT_FILE)
        report = json_file.read(path, dict, "report of an export")
        return [
            {
                **model,
                **{name: exported[name] for name in _EXPORTED if name in exported},
                "path": formats.get(exported["format"]).path(version.path),
                "exported_score": exported["scores"][self._metric],
                **exported.get("speed", {}),
            }
            for exported in report["engines"]
            if "left_out" not in exported
        ]

    def _model(self, folder):
        config = model_dir.read(folder).config
        return {
            "folder": folder,
            "parameters": model_info.num_parameters(config),
            "vocab_size": config.vocab_size,
            "word_embedding_rank": config.word_embedding_rank,
            "heads": [layer.num_heads for layer in config.layers],
            "neurons": [layer.intermediate_size for layer in config.layers],
            "head_sizes": [_head_sizes(layer, config.head_size) for layer in config.layers],
            "ranks": [_ranks(layer) for layer in config.layers],
            "score": self._answers.of(folder)["scores"][self._metric],
        }


def table(rows, metric):
    """Returns the Markdown table of rows, with ratios to the dense model's milliseconds.

    A ratio is to the dense model on the same engine, and to the fastest dense model of all engines.

    Args:
      rows: list of `ExportedRows.of`, each with the name of its `model`; the dense model's is
        "dense".
      metric: name of the score.
    """
    of_dense = {row["engine"]: row.get("p50_ms") for row in rows if row["model"] == "dense"}
    fastest = min((ms for ms in of_dense.values() if ms is not None), default=None)

    def to_fastest(row):
        dense = of_dense.get(row["engine"])
        if None in (fastest, dense) or not (row["model"] == "dense" or "ratio" in row):
            return None
        return row.get("ratio", 1.0) * dense / fastest

    columns = {
        "model": "model",
        "engine": "engine",
        "parameters": ("parameters", "{:,}"),
        "MB": lambda row: pages.number(row["file_bytes"] / 1e6) if "file_bytes" in row else "",
        metric: lambda row: pages.number(row["score"]),
        f"{metric}, exported": lambda row: pages.number(row.get("exported_score")),
        "before recovery": lambda row: pages.number(row.get("before_recovery")),
        "p50 ms": lambda row: pages.number(row.get("p50_ms")),
        "/ dense": lambda row: pages.number(
            row.get("ratio", 1.0 if row["model"] == "dense" else None)
        ),
        "/ fastest dense": lambda row: pages.number(to_fastest(row)),
    }
    return pages.markdown_table(pages.table(rows, columns))


def _head_sizes(layer, head_size):
    """Returns the widths of a block's heads: of query and key, and of value."""
    return [layer.unit_width(name, head_size) for name in ("key", "value")]


def _ranks(layer):
    """Returns the rank of each projection of a block that has factors, a dict."""
    return {name: spec.rank for name, spec in layer.projections.items() if spec.rank is not None}
