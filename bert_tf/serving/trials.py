"""Formats by engines, each by itself: written, run, compared, timed; one that fails is left out."""

import os
import shutil
import tempfile

from absl import logging

from bert_tf.presentation import pages
from bert_tf.serving import formats, sensitive_layers
from bert_tf.serving.engines import ENGINES, Process


def write(chosen, planned, folder, compared, dense):
    """Writes a model in several formats and keeps those that are as good as the model.

    Args:
      chosen: list of `(name of an engine, name of a format that it reads)`.
      planned: the `bert_tf.serving.planned_model.PlannedModels`.
      folder: path of the folder to write to.
      compared: the `bert_tf.serving.comparison.Comparison` with its source.
      dense: the `bert_tf.serving.dense_comparison.DenseComparison`, to be faster than.

    Returns:
      List of a dict of plain data for each of `chosen`: `engine`, `format`, its form by
      `PlannedModels.describe`, the figures of `Comparison.figures`, `file_bytes`, `float_layers` of
      a format of integers where some stay in float and, of a pruned model or of several engines,
      `speed`. One that is left out has the reason as `left_out`; a format that no engine keeps has
      no files.

    Raises:
      ValueError: if all are left out.
      OSError: if a file cannot be written.
    """
    rows = [{"engine": engine, "format": name} for engine, name in chosen]
    names = list(dict.fromkeys(name for _, name in chosen))
    with (
        tempfile.TemporaryDirectory() as scratch,
        dense.writing(names, scratch) as dense_written,
    ):
        written = _write(rows, names, planned, folder, compared)
        kept = _kept(rows)
        if (dense.is_pruned and kept) or len(kept) > 1:
            _measure(kept, folder, dense, scratch, dense_written)
    for name in written.keys() - {row["format"] for row in _kept(rows)}:
        _remove(written[name], folder)
    _check_any(rows)
    return rows


def by_format(rows):
    """Returns one row a format by its name: of the first engine that keeps it, else of the first.

    Args:
      rows: list of `write`.
    """
    found = {row["format"]: row for row in [*reversed(rows), *reversed(_kept(rows))]}
    return {row["format"]: found[row["format"]] for row in rows}


def fastest(rows):
    """Returns which engine that is kept takes the fewest milliseconds, and by which file.

    Args:
      rows: list of `write`.

    Returns:
      Dict of `engine`, `format` and `p50_ms`; None if none was timed.
    """
    timed = [row for row in _kept(rows) if "speed" in row]
    best = min(timed, key=lambda row: row["speed"]["p50_ms"], default=None)
    if best is None:
        return None
    return {
        "engine": best["engine"],
        "format": best["format"],
        "p50_ms": best["speed"]["p50_ms"],
    }


def table(rows, metric):
    """Returns a Markdown table of engines that were timed, with ratios to the dense model.

    A ratio is to the dense model on the same engine, and to the fastest dense model of all engines.

    Args:
      rows: list of `write`.
      metric: name of the score that is shown.
    """
    timed = [row for row in rows if "speed" in row]
    dense = [row["speed"].get("dense_p50_ms") for row in timed]
    best = min((ms for ms in dense if ms is not None), default=None)
    columns = {
        "engine": "engine",
        "format": "format",
        "MB": lambda row: f"{row['file_bytes'] / 1e6:.1f}",
        metric: lambda row: pages.number(row["scores"].get(metric)),
        "p50 ms": lambda row: f"{row['speed']['p50_ms']:.2f}",
    }
    if best is not None:
        columns |= {
            "dense p50 ms": lambda row: f"{row['speed']['dense_p50_ms']:.2f}",
            "/ dense": lambda row: f"{row['speed']['ratio']:.3f}",
            "/ fastest dense": lambda row: f"{row['speed']['p50_ms'] / best:.3f}",
        }
    columns["kept"] = lambda row: "no" if "left_out" in row else "yes"
    return pages.markdown_table(pages.table(timed, columns)) if timed else ""


def _write(rows, names, planned, folder, compared):
    """Writes formats and compares them; returns the names of the files of each that is kept."""
    written = {}
    for number, name in enumerate(names, 1):
        logging.info("Writing the format %s, %d of %d.", name, number, len(names))
        own, others = [row for row in rows if row["format"] == name], set(os.listdir(folder))
        try:
            served = planned.served(name)
            formats.FORMATS[name].write(served, folder)
        except ValueError as error:
            _leave_out(own, error)
        written[name] = set(os.listdir(folder)) - others
        for row in _kept(own):
            row |= planned.describe(name)
            try:
                _compare_or_leave_layers(row, served, folder, compared)
            except ValueError as error:
                _leave_out([row], error)
        if not _kept(own):
            _remove(written.pop(name), folder)
    return written


def _compare_or_leave_layers(row, served, folder, compared):
    """Compares a format as it is written, else with few layers in float where these suffice."""
    try:
        return _compare(row, folder, compared)
    except ValueError as error:
        too_far = error
    form = formats.FORMATS[row["format"]]
    variants = sensitive_layers.candidates(row["engine"], form, served, folder, compared)
    for layers, partly in variants:
        partly.write(served, folder)
        try:
            _compare(row, folder, compared)
        except ValueError:
            continue
        row["float_layers"] = layers
        return logging.info("%s keeps %s in float.", row["format"], ", ".join(layers))
    raise too_far


def _compare(row, folder, compared):
    """Adds figures of an engine's answers; raises ValueError where they are too far off."""
    form = formats.FORMATS[row["format"]]
    name = f"{row['format']} by {row['engine']}"
    requests = [request for request in compared.requests if request[0] in form.signatures]
    with Process(ENGINES[row["engine"]], form.path(folder)) as process:
        outputs = process.answers(requests)
    if wrong := compared.wrong_names(outputs, form.has_texts):
        raise ValueError(
            f"The export {name} must give the outputs that follow from its logits, but "
            f"{', '.join(wrong)} on {compared.description} are other ones."
        )
    row |= compared.figures(outputs)
    row["file_bytes"] = sum(map(os.path.getsize, form.files(folder)))
    if far := form.limits.exceeded(row, compared.num_examples):
        raise ValueError(
            f"The export {name} is too far from its model: on {compared.num_examples} examples "
            f"of {compared.description} {far}."
        )
    logging.info("%s differs by at most %s.", name, _as_text(row, compared.metric))


def _measure(rows, folder, dense, dense_folder, dense_written):
    """Adds the speed of each engine; leaves out what cannot run or is slower than dense."""
    if dense.is_pruned:
        logging.info("Waiting for the dense model in these formats.")
        for name, error in dense_written().items():
            if error is not None:
                _leave_out([row for row in rows if row["format"] == name], error)
    places = [folder, dense_folder] if dense.is_pruned else [folder]
    paths = {
        (row["engine"], row["format"]): [
            formats.FORMATS[row["format"]].path(place) for place in places
        ]
        for row in _kept(rows)
    }
    speeds = dense.measure(paths)
    for row in _kept(rows):
        key = row["engine"], row["format"]
        try:
            if isinstance(speeds[key], ValueError):
                raise speeds[key]
            row["speed"] = speeds[key]
            dense.check(*key, speeds[key])
        except ValueError as error:
            _leave_out([row], error)


def _leave_out(rows, error):
    for row in rows:
        row["left_out"] = str(error)
        logging.warning("%s by %s is left out. %s", row["format"], row["engine"], error)


def _kept(rows):
    return [row for row in rows if "left_out" not in row]


def _check_any(rows):
    """Raises ValueError if nothing is kept."""
    if _kept(rows):
        return
    reasons = dict.fromkeys(row["left_out"] for row in rows)
    if len(reasons) == 1:
        raise ValueError(*reasons)
    each = "; ".join(f"{row['engine']}: {row['left_out'].rstrip('.')}" for row in rows)
    raise ValueError(f"Nothing could be exported: {each}.")


def _as_text(row, metric):
    largest, most = row["largest_difference"], row["percentile_99"]
    parts = [f"{largest:.2e}, in 99 % of the logits by {most:.2e}"]
    if row["largest_angle"] is not None:
        parts.append(f"1 - cos at most {row['largest_angle']:.2e}")
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
