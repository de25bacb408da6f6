"""The task "tsv": texts and labels in files of one's own: TSV, CSV or JSON lines."""

import dataclasses

from bert_tf.data import table_rows
from bert_tf.data.examples import Table
from bert_tf.option_fields import option
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.text_task import TextTask

_SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """The options of tables of one's own: their columns and how they are written.

    A label that looks like a number is a class unless `label_type` is "number". Quotes have no
    meaning with `quoting="none"`.
    """

    text_columns: str = option(
        "",
        "Task tsv: one or two columns, separated by a comma: names, or numbers from 1 of files "
        "without a header line.",
        list_of=str,
    )
    label_column: str = option("", "Task tsv: name or number of the label's column.")
    label_type: str = option("class", "Task tsv: what a label is.", ("class", "number"))
    quoting: str = option(
        "minimal",
        "Task tsv: how fields are quoted; none if quotes mean nothing.",
        table_rows.QUOTINGS,
    )


@register_task("tsv", TableOptions)
def task(settings, data_dir, labels):
    """Returns the task of tables of one's own.

    Args:
      settings: `TableOptions`; `text_columns` may be a list too.
      data_dir: where `train.tsv` lies, whose labels are collected and sorted, as numbers if all
        are integers; not used with `labels`.
      labels: the labels, a list of texts, or None.

    Raises:
      ValueError: if an argument or the training file does not fit.
    """
    label_column, label_type, quoting = (
        settings.label_column,
        settings.label_type,
        settings.quoting,
    )
    columns = _text_columns(settings.text_columns, label_column)
    _check_choices(settings)
    is_regression = label_type == "number"
    found = TextTask(
        name="tsv",
        labels=None,
        splits=tuple((s, _tables(s, columns, label_column, quoting)) for s in _SPLITS),
        primary_metric="pearson" if is_regression else "eval_accuracy",
        prediction_files=(("test", "predictions.tsv"),),
        arguments=(
            ("text_columns", columns),
            ("label_column", label_column),
            ("label_type", label_type),
            ("quoting", quoting),
        ),
    )
    if is_regression:
        return found
    labels = labels or _collect_labels(data_dir, found, label_column)
    return dataclasses.replace(found, labels=tuple(labels))


def _check_choices(settings):
    for field in dataclasses.fields(settings):
        value, choices = getattr(settings, field.name), field.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(
                f"Argument `{field.name}` must be {choices[0]!r} or {choices[1]!r}, received "
                f"{value!r}."
            )


def _text_columns(names, label_column):
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if not names or len(names) > 2 or not label_column:
        raise ValueError(
            "Task 'tsv' needs `text_columns`, one or two column names, and `label_column`, "
            f"received {names or None} and {label_column or None!r}."
        )
    numbers = [name for name in (*names, label_column) if name.isdecimal()]
    if len(numbers) > len(names) and any(name.startswith("0") for name in numbers):
        raise ValueError(
            "Task 'tsv' counts columns without names from 1, received the `text_columns` "
            f"{list(names)} and the `label_column` {label_column!r}."
        )
    if len({*names, label_column}) <= len(names):
        raise ValueError(
            "Task 'tsv' needs other columns for each text and the label, received the "
            f"`text_columns` {list(names)} and the `label_column` {label_column!r}."
        )
    return tuple(names)


def _tables(split, texts, label, quoting):
    """Returns the tables of a split: a TSV file, or in its place a CSV file or JSON lines."""
    files = [f"{split}.{ending}" for ending in ("tsv", "csv", "jsonl")]
    is_numbered = all(map(str.isdecimal, (*texts, label)))
    if is_numbered:
        files.pop()  # An object has names.
    return tuple(
        Table(
            file,
            texts,
            label,
            label_is_optional=split == "test",
            quoting=quoting,
            is_rectangular=True,
            excludes=tuple(files[number:]),
            is_numbered=is_numbered,
        )
        for number, file in enumerate(files, start=1)
    )


def _collect_labels(data_dir, found, label_column):
    """Returns the sorted labels of the training file."""
    if not data_dir:
        raise ValueError("Task 'tsv' needs `data_dir` or `labels` to know its labels.")
    table = dataclasses.replace(found.source(data_dir, "train"), texts=())
    origin = f"The column {label_column!r} of {data_dir}/{table.file}"
    _, labels, _, line_numbers = table.read(data_dir)
    numbers = {}  # Of the first line with each label.
    for label, number in zip(map(str.strip, labels), line_numbers, strict=True):
        numbers.setdefault(label, number)
    for label, number in numbers.items():
        if not label or any(character in label for character in "\t\n\r"):
            received = f"{label[:40]!r} with a tab or a line break" if label else "none"
            raise ValueError(
                f"{origin} must have a label in each line, received {received} in line {number}."
            )
    if len(numbers) < 2:
        raise ValueError(f"{origin} must have at least two labels, received {sorted(numbers)}.")
    return _sorted(numbers)


def _sorted(labels):
    try:
        return tuple(sorted(sorted(labels), key=int))  # "1" and "01" have an order too.
    except ValueError:
        return tuple(sorted(labels))
