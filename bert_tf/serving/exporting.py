"""From a model directory to a folder that servers load, each format compared before it is kept."""

import os

import numpy as np
from absl import logging

from bert_tf.latency import LatencyTable
from bert_tf.latency.latency_table import TABLE_FILE
from bert_tf.serving import formats, servable, trials
from bert_tf.serving.comparison import Comparison
from bert_tf.serving.dense_comparison import DenseComparison
from bert_tf.serving.planned_model import PlannedModels
from flop_tf import files

#: The table of engines: size, score and milliseconds, dense and as exported.
ENGINES_FILE = os.path.join("assets.extra", "engines.md")

# Every so many batches of the comparison one says how large ranks become.
_CALIBRATION_STEP = 4
# Examples in the requests that warm a server up.
_WARMUP_SIZES = (1, 8, 32)


def export(folder, version, target, served):
    """Writes a version, whole or not at all.

    A format that cannot be made, that is too far from the model or that is slower than the dense
    one is left out, and the report says why.

    Args:
      folder: model directory, dense, factorized or compact, with a task head.
      version: the `bert_tf.serving.versions.Version` to write.
      target: a `bert_tf.serving.target.Target`: formats, shape, device.
      served: a `bert_tf.serving.servable.ServedTask`: the task and its data.

    Returns:
      The report, as in `versions.REPORT_FILE`; None if the same command has written it before.

    Raises:
      ValueError: if an argument or the model does not fit, or all formats are left out.
      OSError: if a file cannot be written.
    """
    chosen = target.chosen()
    with version.opened() as to_do:
        if not to_do:
            return None
        source = servable.read(folder, served)
        service, shape = source.service, target.shape(source.model.config)
        compared = Comparison(source.model, service, source.data_dir, served.dev_examples)
        tables = target.tables(source.model.config, chosen)
        # Batches are in the order of their lengths.
        batches = [batch for name, batch in compared.requests if name != "text"]
        batches = batches[::_CALIBRATION_STEP]
        planned = PlannedModels(source.model, service, tables, batches)
        dense = DenseComparison(source.model.config, tables, shape, folder, target.allow_slower)
        named = service.labels or (), service.task.least_probabilities
        with version.written(service.tokenizer, *named) as aside:
            rows = trials.write(chosen, planned, aside, compared, dense)
            requests = _warmup_requests(service, compared.texts)
            for name, row in trials.by_format(rows).items():
                if "left_out" not in row:
                    formats.FORMATS[name].warm_up(aside, requests, version.model_name)
            for table in tables.values():
                if isinstance(table, LatencyTable):
                    table.save(os.path.join(aside, TABLE_FILE.format(table.engine)))
            report = {"model": os.path.abspath(folder), "stage": source.stage}
            report |= {"optimize_for": list(shape), **_compared(compared, service)}
            report |= _tried(rows, compared.metric, aside)
            report = version.write_report(aside, report)
    logging.info("Exported to %s.", version.path)
    return report


def _tried(rows, metric, folder):
    """Returns the part of the report about engines and formats; writes and logs their table."""
    best = trials.fastest(rows)
    if best is not None:
        text = trials.table(rows, metric)
        files.write_text(os.path.join(folder, ENGINES_FILE), text)
        sentence = "The fastest is %s by %s, %.2f ms.\n%s"
        logging.info(sentence, *(best[key] for key in ("format", "engine", "p50_ms")), text.strip())
    return {"formats": trials.by_format(rows), "engines": rows, "fastest": best}


def _compared(compared, service):
    """Returns the part of the report about the task and the data of the comparison."""
    return {
        "task": service.task.to_dict(),
        "text_names": list(service.text_names),
        "max_seq_length": service.max_seq_length,
        "compared_on": compared.description,
        "num_examples": compared.num_examples,
        "scores": compared.scores(compared.source),
    }


def _warmup_requests(service, texts):
    """Returns requests of several sizes to both signatures of ids and of texts."""
    requests = []
    for size in _WARMUP_SIZES:
        some = {name: np.resize(np.array(values), size) for name, values in texts.items()}
        ids = {name: tensor.numpy() for name, tensor in service.features(some).items()}
        requests.append(("serving_default", ids))
        if service.tokenizer.in_graph:
            requests.append(("text", some))
    return requests
