"""Formats, each by itself: made, run, compared and timed; one that fails is left out."""

import os
import shutil

from absl import logging

from bert_tf.serving import engines
from bert_tf.serving.engines import Process


def write(forms, served, folder, compared, dense=None):
    """Writes a model in several formats and keeps the formats that are as good as the model.

    Args:
      forms: dict of a `bert_tf.serving.formats.Format` by name.
      served: the `bert_tf.serving.served_model.ServedModel`.
      folder: path of the folder to write to.
      compared: the `bert_tf.serving.comparison.Comparison` with its source.
      dense: the `bert_tf.serving.dense_comparison.DenseModel` to be faster than; None, the default,
        for no such condition.

    Returns:
      Dict of a dict of figures by the name of the format. A format that is left out has the reason
      as `left_out`, and its files are removed.

    Raises:
      ValueError: if all formats are left out.
      OSError: if a file cannot be written.
    """
    rows = {name: {} for name in forms}
    for name, form in forms.items():
        others = set(os.listdir(folder))
        try:
            form.write(served, folder)
            _compare(name, form, folder, compared, rows[name])
            if dense is not None:
                rows[name]["speed"] = dense.measure(name, form, folder)
                dense.check(name, rows[name]["speed"])
        except ValueError as error:
            _remove(set(os.listdir(folder)) - others, folder)
            rows[name]["left_out"] = str(error)
            logging.warning("The format %s is left out. %s", name, error)
    reasons = {name: row["left_out"] for name, row in rows.items() if "left_out" in row}
    if len(reasons) == 1 == len(rows):
        raise ValueError(*reasons.values())
    if len(reasons) == len(rows):
        each = "; ".join(f"{name}: {reason.rstrip('.')}" for name, reason in reasons.items())
        raise ValueError(f"None of the formats could be exported: {each}.")
    return rows


def _compare(name, form, folder, compared, row):
    """Adds figures of a format to `row`; raises ValueError where it is too far off."""
    requests = [request for request in compared.requests if request[0] in form.signatures]
    with Process(engines.of_format(name), form.path(folder)) as process:
        outputs = process.answers(requests)
    if wrong := compared.wrong_names(outputs, form.has_texts):
        raise ValueError(
            f"The format {name!r} must give the outputs that follow from its logits, but "
            f"{', '.join(wrong)} on {compared.description} are other ones."
        )
    row |= compared.figures(outputs)
    if far := form.limits.exceeded(row, compared.num_examples):
        raise ValueError(
            f"The format {name!r} is too far from its model: on {compared.num_examples} examples "
            f"of {compared.description} {far}."
        )
    logging.info("%s differs by at most %s.", name, _as_text(row, compared.metric))


def _as_text(row, metric):
    largest, most = row["largest_difference"], row["percentile_99"]
    parts = [f"{largest:.2e}, in 99 % of the logits by {most:.2e}"]
    if row["flips"] is not None:
        parts.append(f"{100 * row['flips']:.2f} % other labels")
    if row["scores"]:
        parts.append(f"{metric} {row['scores'][metric]:.4f}")
    return ", ".join(parts)


def _remove(names, folder):
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
