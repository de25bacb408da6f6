"""From a model directory to a folder that servers load, each format compared before it is kept.

| in `OUTPUT/VERSION` | holds |
|---|---|
| `saved_model.pb`, `variables` | the SavedModel, for TensorFlow Serving |
| `model_PRECISION.tflite`, `model.onnx` | the other formats |
| `assets` | `vocab.txt`, and `labels.txt` in the order of the logits |
| `assets.extra` | `export.json` (comparison, choices), latency table, warm-up requests |
| `run.flags` | the command's flags |
"""

import dataclasses
import os

import numpy as np
from absl import logging

from bert_tf import timing
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.runs import run_folder
from bert_tf.serving import (
    comparison,
    dense_comparison,
    formats,
    latency_table,
    planned_model,
    services,
    trials,
    versions,
)
from bert_tf.serving.formats.saved_model import WARMUP_FILE, write_warmup
from bert_tf.surgery import task_masks
from bert_tf.tasks import model_task
from flop_tf import files

TABLE_FILE = os.path.join("assets.extra", "latency_table.json")

#: Batch size and length that decide where nobody says another shape.
DEFAULT_SHAPE = (8, 128)

# Examples in the requests that warm a server up.
_WARMUP_SIZES = (1, 8, 32)


def export(
    folder,
    output_dir,
    *,
    version=1,
    format_names=("saved_model",),
    data_dir="",
    task_name="",
    tfds="",
    max_seq_length=None,
    dev_examples=1024,
    optimize_for=None,
    table_file="",
    allow_slower=False,
    overwrite=False,
    command="",
    command_flags="",
):
    """Writes `OUTPUT/VERSION`, whole or not at all.

    A format that cannot be made, that is too far from the model or that is slower than the dense
    one is left out of it, and the report says why.

    Args:
      folder: model directory, dense, factorized or compact, with a task head.
      output_dir: folder of the versions; its name is the model's.
      version: int from 1 on.
      format_names: names of `bert_tf.serving.formats.FORMATS`.
      data_dir: folder of the task; empty takes that of the model.
      task_name: the task; empty takes that of the model.
      tfds: data set of TensorFlow Datasets, see `bert_tf.tasks.registry.get`.
      max_seq_length: tokens that texts are cut to; None takes those of the training, else the
        default of the task.
      dev_examples: of the dev set to compare on, where its data are at hand; 0 is all.
      optimize_for: `(batch size, length)` that decides how projections are computed, see
        `execution_plan`; None takes `DEFAULT_SHAPE`, or the positions of a shorter model.
      table_file: latency table of the device at that shape; empty measures this one.
      allow_slower: whether a pruned model is exported that is slower than its dense one.
      overwrite: whether a version that exists is replaced.
      command: how this was called, for the report.
      command_flags: the flags of that, one a line; the same ones again have nothing to do.

    Returns:
      The report, as in `versions.REPORT_FILE`; None if the same command has written it before.

    Raises:
      ValueError: if an argument or the model does not fit, or all formats are left out.
      OSError: if a file cannot be written.
    """
    chosen = {name: formats.get(name) for name in format_names}
    if not chosen:
        raise ValueError(f"Argument `format_names` must name one of {list(formats.FORMATS)}.")
    if dev_examples < 0:
        raise ValueError(f"Argument `dev_examples` must be at least 0, received {dev_examples}.")
    path, sources = versions.folder(output_dir, version), (folder, data_dir, table_file)
    with versions.opened(path, command_flags, overwrite, sources) as to_do:
        if not to_do:
            return None
        source = _read(folder, data_dir, task_name, tfds, max_seq_length)
        shape = _shape(optimize_for, source.model.config)
        table = _table(table_file, source.model.config, shape)
        planned = planned_model.make(source.model, source.service, table, shape)
        for name, ratio in planned.ratios.items():
            logging.info("The way %r takes %.3f x of the model as it is.", name, ratio)
        logging.info("Exporting the way %r.", planned.way)
        compared = comparison.Comparison(
            source.model, source.service, source.data_dir, dev_examples
        )
        report = {
            "model": os.path.abspath(folder),
            "stage": source.stage,
            "optimize_for": list(shape),
            "choices": planned.choices,
            "way": planned.way,
            "ratios": planned.ratios,
            "latencies_of": table.environment,
            "config": planned.config.to_dict(),
            "execution": planned.execution.to_dict(),
            "task": source.service.task.to_dict(),
            "max_seq_length": source.service.max_seq_length,
            "compared_on": compared.description,
            "num_examples": compared.num_examples,
            "scores": compared.scores(compared.source),
        }
        dense = None
        if model_info.stage(source.model.config) != "dense":
            dense = dense_comparison.DenseModel(
                source.model, source.service, table, folder, shape, allow_slower
            )
        with files.replacing_folder(path) as aside:
            _write_assets(aside, source.service)
            rows = trials.write(chosen, planned.served, aside, compared, dense)
            if "left_out" not in rows.get("saved_model", {"left_out": ""}):
                _write_warmup(aside, source.service, compared.texts, os.path.dirname(path))
            table.save(os.path.join(aside, TABLE_FILE))
            report |= {"formats": rows, "command": command, **timing.environment()}
            files.write_json(os.path.join(aside, versions.REPORT_FILE), report)
            if command_flags:
                files.write_text(os.path.join(aside, run_folder.FLAGS_FILE), command_flags)
    logging.info("Exported to %s.", path)
    return report


@dataclasses.dataclass(frozen=True)
class _Source:
    """A model, what it is served as, and the folder of its task's data or ""."""

    model: BertModel
    service: services.Service
    data_dir: str
    stage: str


def _read(folder, data_dir, task_name, tfds, max_seq_length):
    """Returns the `_Source` in a model directory; the arguments are those of `export`."""
    info = model_dir.load_info(folder)
    source, tokenizer = read_source(folder), model_dir.load_tokenizer(folder)
    _check_gates(folder, source.config)
    if not (task_name or tfds or "task" in info):
        raise ValueError(f"Argument `task_name` is needed: {folder!r} does not say its task.")
    task, known_dir = model_task.find_task(info, task_name, data_dir, tfds)
    model = task.with_head(source, f"the model in {folder!r}").model()
    length = model_task.longest(max_seq_length, info, model.config, task.default_seq_length)
    if not data_dir and os.path.isdir(known_dir):
        data_dir = known_dir
    stage = info.get("stage", model_info.stage(model.config))
    return _Source(model, services.get(task, tokenizer, length), data_dir, stage)


def _check_gates(folder, config):
    """Raises ValueError where masks are not removed."""
    task_masks.check_one_mask(folder, config)
    if config.has_gates:
        raise ValueError(
            f"The model in {str(folder)!r} has gates, which are not exported; remove the masks "
            "first by flop-remove-mask."
        )


def _shape(optimize_for, config):
    positions = config.num_positions
    batch_size, length = optimize_for or (DEFAULT_SHAPE[0], min(DEFAULT_SHAPE[1], positions))
    if batch_size < 1 or not 1 <= length <= positions:
        raise ValueError(
            "Argument `optimize_for` must be a batch size from 1 on and a length in "
            f"[1, {positions}], the positions of the model, received {batch_size}x{length}."
        )
    return batch_size, length


def _table(path, config, shape):
    """Returns the latency table in a file, or that of this device."""
    if not path:
        logging.info("Measuring how long layers at %dx%d take on this device.", *shape)
        return latency_table.measure(config, shape, all_ranks=False)
    table = latency_table.LatencyTable.load(path)
    if table.shape != shape:
        raise ValueError(
            f"The latency table {path!r} must be of optimize_for={shape[0]}x{shape[1]}, received "
            f"one of {table.shape[0]}x{table.shape[1]}."
        )
    measured, here = map(_device, (table.environment, timing.environment()))
    if measured != here:
        logging.warning("The latency table is of %s; this device is %s.", measured, here)
    return table


def _device(environment):
    """Returns on what latencies were measured, as a text."""
    device, cores, threads = map(environment.get, ("device", "cores", "intra_op_threads"))
    return f"{device}, {cores} cores, {threads or 'all'} threads of an operation"


def _write_assets(folder, service):
    for name in ("assets", "assets.extra"):
        os.makedirs(os.path.join(folder, name))
    vocab_file = os.path.join(folder, "assets", "vocab.txt")
    files.write_text(vocab_file, service.tokenizer.vocab_text())
    if service.labels:
        text = "".join(f"{label}\n" for label in service.labels)
        files.write_text(os.path.join(folder, "assets", "labels.txt"), text)


def _write_warmup(folder, service, texts, model_folder):
    """Writes requests of several sizes to both signatures."""
    requests = []
    for size in _WARMUP_SIZES:
        some = {name: np.resize(np.array(values), size) for name, values in texts.items()}
        ids = {name: tensor.numpy() for name, tensor in service.features(some).items()}
        requests += [("serving_default", ids), ("text", some)]
    path = os.path.join(folder, WARMUP_FILE)
    write_warmup(path, requests, os.path.basename(model_folder))
