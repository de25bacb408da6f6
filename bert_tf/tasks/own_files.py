"""The task "tsv": texts and labels in files of one's own: TSV, CSV or JSON lines."""

import dataclasses

from bert_tf import ranges
from bert_tf.data import table_rows
from bert_tf.data.examples import Table
from bert_tf.option_fields import option
from bert_tf.tasks import labels_task
from bert_tf.tasks.labels_task import LabelsTask
from bert_tf.tasks.numbers_task import NumbersTask
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.text_task import TextTask

_SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """The options of tables of one's own: their columns and how they are written.

    A label that looks like a number is a class unless `label_type` is "number". With "labels" an
    example has any number of labels, none too: in one column, or each in a column of 0 and 1 with
    its name. Quotes have no meaning with `quoting="none"`.
    """

    text_columns: str = option(
        "",
        "Task tsv: one or two columns, separated by a comma: names, or numbers from 1 of files "
        "without a header line.",
        list_of=str,
    )
    label_column: str = option(
        "",
        "Task tsv: name or number of the label's column; several, with commas, if label_type is "
        "labels or number.",
    )
    label_type: str = option(
        "class",
        "Task tsv: what an example has: a class, a number or several, or any number of labels.",
        ("class", "number", "labels"),
    )
    label_separator: str = option(
        ",", "Task tsv, label_type=labels: what is between the labels in one column."
    )
    label_thresholds: str = option(
        "",
        "Task tsv, label_type=labels: least probability of a label, one number or one of each; by "
        "default chosen on the split that decides.",
        list_of=float,
        allowed=ranges.SHARE,
        distinct=False,
    )
    quoting: str = option(
        "minimal",
        "Task tsv: how fields are quoted; none if quotes mean nothing.",
        table_rows.QUOTINGS,
    )


@register_task("tsv", TableOptions)
def task(settings, data_dir, labels):
    """Returns the task of tables of one's own.

    Args:
      settings: `TableOptions`; lists of texts and numbers may be such too.
      data_dir: where `train.tsv` lies, whose labels are collected and sorted, as numbers if all
        are integers; not used with `labels`.
      labels: the labels, a list of texts, or None.

    Raises:
      ValueError: if an argument or the training file does not fit.
    """
    texts, columns = _columns(settings)
    _check_choices(settings)
    label = columns if len(columns) > 1 else columns[0]
    arguments = {**vars(settings), "text_columns": texts, "label_column": ",".join(columns)}
    thresholds = arguments.pop("label_thresholds")
    if settings.label_type != "labels":
        del arguments["label_separator"]
    found = {
        "name": "tsv",
        "splits": tuple((s, _tables(s, texts, label, settings)) for s in _SPLITS),
        "prediction_files": (("test", "predictions.tsv"),),
        "arguments": tuple(arguments.items()),
    }
    if settings.label_type == "number":
        if len(columns) > 1:
            return NumbersTask(**found, labels=columns)
        return TextTask(**found, primary_metric="pearson")
    if settings.label_type == "labels":
        separator = settings.label_separator
        found |= {"separator": separator, "has_columns": len(columns) > 1}
        if not labels and len(columns) == 1:
            labels = _labels_of_cells(data_dir, found["splits"], label, separator)
        labels = tuple(labels or columns)
        return LabelsTask(**found, labels=labels, thresholds=_thresholds(thresholds, labels))
    labels = labels or _classes(data_dir, found["splits"], label)
    return TextTask(**found, labels=tuple(labels))


def _check_choices(settings):
    for field in dataclasses.fields(settings):
        value, choices = getattr(settings, field.name), field.metadata["choices"]
        if choices and value not in choices:
            *first, last = map(repr, choices)
            raise ValueError(
                f"Argument `{field.name}` must be {', '.join(first)} or {last}, received {value!r}."
            )
    is_changed = settings.label_separator != "," or settings.label_thresholds
    if is_changed and settings.label_type != "labels":
        raise ValueError(
            "Arguments `label_separator` and `label_thresholds` need the `label_type` 'labels', "
            f"received {settings.label_type!r}; leave them out."
        )
    if not settings.label_separator:
        raise ValueError("Argument `label_separator` must have a character, received none.")


def _columns(settings):
    """Returns the names of the text columns, and of the label columns."""
    names, labels = (_listed(n) for n in (settings.text_columns, settings.label_column))
    if settings.label_type == "class" and isinstance(settings.label_column, str) and labels:
        labels = [settings.label_column]  # The name of one column may have commas.
    if not names or len(names) > 2 or not labels:
        raise ValueError(
            "Task 'tsv' needs `text_columns`, one or two column names, and `label_column`, "
            f"received {names or None} and {settings.label_column or None!r}."
        )
    if settings.label_type == "class" and len(labels) > 1:
        raise ValueError(
            "Task 'tsv' needs one `label_column` with the `label_type` 'class', received "
            f"{settings.label_column}; pass label_type=labels or number."
        )
    numbers = [name for name in (*names, *labels) if name.isdecimal()]
    received = f"the `text_columns` {names} and the `label_column` {settings.label_column!r}"
    if len(numbers) == len(names) + len(labels) and any(n.startswith("0") for n in numbers):
        raise ValueError(f"Task 'tsv' counts columns without names from 1, received {received}.")
    if len({*names, *labels}) < len(names) + len(labels):
        raise ValueError(
            f"Task 'tsv' needs other columns for each text and the label, received {received}."
        )
    return tuple(names), tuple(labels)


def _listed(value):
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    return list(value)


def _thresholds(value, labels):
    """Returns a threshold for each label, or None where there are none."""
    try:
        found = [float(number) for number in _listed(value)]
    except ValueError:
        found = [-1.0]
    if len(found) not in (0, 1, len(labels)) or not all(0 <= one <= 1 for one in found):
        raise ValueError(
            "Argument `label_thresholds` must have one number from 0 to 1, or one for each of the "
            f"{len(labels)} labels, received {value!r}."
        )
    return tuple(found * len(labels) if len(found) == 1 else found) or None


def _tables(split, texts, label, settings):
    """Returns the tables of a split: a TSV file, or in its place a CSV file or JSON lines."""
    files = [f"{split}.{ending}" for ending in ("tsv", "csv", "jsonl")]
    names = (*texts, *([label] if isinstance(label, str) else label))
    is_numbered = all(map(str.isdecimal, names))
    if is_numbered:
        files.pop()  # An object has names.
    return tuple(
        Table(
            file,
            texts,
            label,
            label_is_optional=split == "test",
            quoting=settings.quoting,
            is_rectangular=True,
            excludes=tuple(files[number:]),
            is_numbered=is_numbered,
            label_may_be_list=settings.label_type == "labels",
        )
        for number, file in enumerate(files, start=1)
    )


def _classes(data_dir, splits, column):
    """Returns the sorted classes of the training file."""
    origin, cells = _cells(data_dir, splits, column)
    return _checked(origin, {cell.strip(): line for cell, line in reversed(cells)})


def _labels_of_cells(data_dir, splits, column, separator):
    """Returns the sorted labels of the training file, several in a cell."""
    origin, cells = _cells(data_dir, splits, column)
    lines = {}
    for cell, line in reversed(cells):
        for label in labels_task.split(cell, separator):
            _check_label(origin, label, cell, line, separator)
            lines[label] = line
    if set(lines) <= {"0", "1"}:
        raise ValueError(
            f"{origin} must have the names of labels, received {sorted(lines)}; of columns of 0 "
            "and 1 name at least two, or pass label_type=class."
        )
    return _checked(origin, lines)


def _check_label(origin, label, cell, line, separator):
    """Raises ValueError where a label of a cell cannot be written as it was read."""
    if isinstance(cell, str) and cell.strip().startswith("[") and cell.strip().endswith("]"):
        raise ValueError(
            f"{origin} must have labels with {separator!r} between them, received the list "
            f"{cell[:40]!r} in line {line}; write lists as JSON lines."
        )
    if not label:
        raise ValueError(
            f"{origin} must have labels with one {separator!r} between two, received "
            f"{cell[:40]!r} in line {line}."
        )
    if separator in label:
        raise ValueError(
            f"{origin} must have labels without the separator {separator!r}, received "
            f"{label[:40]!r} in line {line}; choose another `label_separator`."
        )


def _cells(data_dir, splits, column):
    """Returns what an error calls the labels of the training file, and `(cell, line)` of each."""
    if not data_dir:
        raise ValueError("Task 'tsv' needs `data_dir` or `labels` to know its labels.")
    found = TextTask(name="tsv", splits=splits)
    table = dataclasses.replace(found.source(data_dir, "train"), texts=())
    _, labels, _, line_numbers = table.read(data_dir)
    origin = f"The column {column!r} of {data_dir}/{table.file}"
    return origin, list(zip(labels, line_numbers, strict=True))


def _checked(origin, lines):
    """Returns labels in their order, by the line of the first example of each."""
    for label, line in sorted(lines.items(), key=lambda one: one[1]):
        if not label or any(character in label for character in "\t\n\r"):
            received = f"{label[:40]!r} with a tab or a line break" if label else "none"
            raise ValueError(
                f"{origin} must have a label in each line, received {received} in line {line}."
            )
    if len(lines) < 2:
        raise ValueError(f"{origin} must have at least two labels, received {sorted(lines)}.")
    return _sorted(lines)


def _sorted(labels):
    try:
        return tuple(sorted(sorted(labels), key=int))  # "1" and "01" have an order too.
    except ValueError:
        return tuple(sorted(labels))
