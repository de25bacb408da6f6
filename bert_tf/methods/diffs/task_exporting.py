"""From a base and differences to one SavedModel with a `task` input, compared before it is kept.

The folder is as in `bert_tf.serving.versions`, without latency table and warm-up requests.
"""

import os

import numpy as np
from absl import logging

from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.methods.diffs import applying, base_model, task_models
from bert_tf.serving import engines, services
from bert_tf.serving.formats.saved_model import SavedModel
from bert_tf.serving.served_tasks import ServedTasks, text_signature
from bert_tf.tasks import model_task

_NUM_TEXTS = 8


def export(base, paths, version):
    """Writes a version, whole or not at all.

    Args:
      base: the BERT of the differences, any format.
      paths: paths of differences, see `bert_tf.methods.diffs.applying.read`; each of another task.
      version: the `bert_tf.serving.versions.Version` to write.

    Returns:
      The report, as in `bert_tf.serving.versions.REPORT_FILE`; None if the same command has
      written it before.

    Raises:
      ValueError: if a file or an argument does not fit, or the SavedModel differs from the merged
        models by more than its tolerance.
      OSError: if a file cannot be written.
    """
    with version.opened() as to_do:
        if not to_do:
            return None
        shared = task_models.load(base, paths)
        tokenizer = shared.source.tokenizer()
        served, form = ServedTasks(shared, _services(shared, tokenizer)), SavedModel()
        report = {
            "base": os.path.abspath(base),
            "diffs": [os.path.abspath(applying.read(one)[1]) for one in paths],
            "tasks": {
                name: {"task": diff.info["task"], "density": diff.density}
                for name, diff in shared.diffs.items()
            },
        }
        with version.written(tokenizer) as aside:
            form.write(served, aside)
            largest = _compare(form, aside, shared, served)
            report = version.write_report(aside, {**report, "largest_difference": largest})
    sentence = "Exported %s to %s; they differ by at most %.2e."
    logging.info(sentence, ", ".join(shared.diffs), version.path, largest)
    return report


def _services(shared, tokenizer):
    """Returns the `Service` of each task, its texts cut as in training."""
    found = {}
    for name, diff in shared.diffs.items():
        task = shared.task(name)
        length = model_task.longest(None, diff.info, shared.source.config, task.default_seq_length)
        found[name] = services.get(task, tokenizer, length)
    return found


def _compare(form, folder, shared, served):
    """Returns the largest relative difference between the logits and each task's merged model.

    Raises:
      ValueError: if it is above the tolerance of the format.
    """
    (features,) = model_task.random_features(shared.source.config, 16, num_batches=1)
    requests, expected, asked = [], [], []
    for name, service in served.services.items():
        merged = base_model.build(shared.source, shared.diffs[name], name)
        task = np.array([name] * len(features[INPUT_NAMES[0]]))
        ids = {key: value.numpy() for key, value in features.items()}
        requests.append(("serving_default", {**ids, "task": task}))
        expected.append(merged(features, training=False).numpy())
        asked.append(service)
        if service.tokenizer.in_graph:
            texts = _texts(service)
            requests.append((text_signature(name), texts))
            expected.append(merged(service.features(texts), training=False).numpy())
            asked.append(service)
    with engines.Process(engines.ENGINES["tensorflow"], form.path(folder)) as process:
        answers = process.answers(requests)
    differences = []
    for (signature, _), answer, logits, service in zip(
        requests, answers, expected, asked, strict=True
    ):
        given = answer["logits"] if signature == "serving_default" else service.logits(answer)
        differences.append(np.abs(given - logits).max() / max(1.0, np.abs(logits).max()))
    largest = float(np.max(differences))
    tolerance = form.limits.largest_difference
    if not largest <= tolerance:
        raise ValueError(
            f"The SavedModel must give the logits of each task within {tolerance:g}, but "
            f"differs by {largest:.2e}; nothing was written, please report this."
        )
    return largest


def _texts(service):
    """Returns random words by the names of the service's texts."""
    generator, vocab = np.random.default_rng(0), service.tokenizer.vocab
    return {
        name: np.array([" ".join(generator.choice(vocab, size)) for size in range(_NUM_TEXTS)])
        for name in service.text_names
    }
