"""Finds a task by its name: GLUE, XNLI, SQuAD, plain text ("mlm") or one's own table ("tsv")."""

import dataclasses
import difflib
import os

import msgspec

from bert_tf.tasks import glue, multitask, own_files, tfds_data
from bert_tf.tasks.mlm import MlmTask
from bert_tf.tasks.squad import SquadTask
from flop_tf.files import json_file

# Characters of a stored task that an error shows.
_SHOWN = 300


class TaskData(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of `get` that `Task.to_dict` returns, a shape for `flop_tf.files.json_file`."""

    name: str
    labels: list[str] | None = None
    text_columns: list[str] | None = None
    label_column: str | None = None
    label_type: str = "class"
    quoting: str = "minimal"
    language: str = "en"
    doc_stride: json_file.Size | None = None
    max_query_length: json_file.Size | None = None
    n_best_size: json_file.Size | None = None
    max_answer_length: json_file.Size | None = None
    train_file: str = ""
    dev_file: str = ""
    tfds: str = ""
    tasks: list["TaskData"] | None = None


def get(
    name,
    *,
    data_dir=None,
    text_columns=None,
    label_column=None,
    label_type="class",
    quoting="minimal",
    labels=None,
    language="en",
    doc_stride=None,
    max_query_length=None,
    n_best_size=None,
    max_answer_length=None,
    train_file="",
    dev_file="",
    tfds="",
    tasks=None,
):
    """Returns the task called `name`, however its case and hyphens are written.

    Args:
      name: a GLUE task, "xnli", "squad", "mlm" for masked words of plain text, or "tsv" for
        `train.tsv`, `dev.tsv` and `test.tsv` with a header line, or `train.csv`, ...; may be empty
        next to `tfds`.
      data_dir: for "tsv" without `labels`: where `train.tsv` lies, whose labels
        are collected and sorted, as numbers if all are integers.
      text_columns: for "tsv": one or two column names, in a list or with a comma between them.
      label_column: for "tsv": a column name.
      label_type: for "tsv": "class" or "number". Labels that look like numbers
        are classes unless "number" makes the task a regression. Defaults to "class".
      quoting: for "tsv": "minimal" where fields are quoted as spreadsheets and pandas quote them,
        "none" where quotes have no meaning. Defaults to "minimal".
      labels: the labels that a model was trained with, in the order of its
        logits. Decides those of "tsv"; the others must agree with it.
      language: for "xnli": its two letters. Defaults to "en".
      doc_stride: for "squad", see `bert_tf.tasks.squad.SquadTask`; None takes the default. So the
        next three.
      max_query_length: see above.
      n_best_size: see above.
      max_answer_length: see above.
      train_file: for "mlm": the text to train on, in `data_dir`. Defaults to train.txt.
      dev_file: for "mlm": the text to evaluate on. Defaults to dev.txt.
      tfds: data set of TensorFlow Datasets to read instead of the published
        files, such as "glue/sst2"; `data_dir` of the task is then the folder of TFDS.
      tasks: of what `MultiTask.to_dict` returns.

    Returns:
      `Task`.

    Raises:
      ValueError: if the name is unknown or the arguments do not fit the task.
    """
    if tasks is not None:
        found = multitask.of([get(**one) for one in tasks])
        return get_several(",".join(found.names), tfds=tfds) if tfds else found
    prepared = tfds_data.task(tfds) if tfds else None
    key = canonical_name(name or (prepared.name if prepared else ""))
    if prepared and key != prepared.name:
        raise ValueError(
            f"The data set {tfds!r} is of the task {prepared.name!r}, received the task {key!r}; "
            "leave one of `tfds` and `task_name` out."
        )
    if key == "tsv":
        return own_files.task(data_dir, text_columns, label_column, label_type, quoting, labels)
    own_files.check_left_out(key, text_columns, label_column, label_type, quoting)
    texts = {"train_file": train_file, "dev_file": dev_file}
    texts = {name: file for name, file in texts.items() if file}
    if key == "mlm":
        return MlmTask(**texts)
    if texts:
        raise ValueError(
            f"Arguments `train_file` and `dev_file` belong to the task 'mlm', received the task "
            f"{key!r}."
        )
    if key == "SQuAD":
        settings = {
            "doc_stride": doc_stride,
            "max_query_length": max_query_length,
            "n_best_size": n_best_size,
            "max_answer_length": max_answer_length,
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        return dataclasses.replace(prepared or SquadTask(), **settings)
    task = prepared or (glue.xnli(language) if key == "XNLI" else glue.TASKS[key])
    if labels and tuple(labels) != task.labels:
        raise ValueError(
            f"Task {key} has the labels {task.labels and list(task.labels)}, but the model was "
            f"trained with {list(labels)}."
        )
    return task


def from_dict(data, **changes):
    """Returns the task that `Task.to_dict` described, as a model directory stores it.

    Args:
      data: plain data; what no task has is refused, and so are files outside of the data folder.
      **changes: arguments of `get` that take the place of those in the data.

    Raises:
      ValueError: if the data are no task of this version, or `get` refuses them.
    """
    check_dict(data)
    for name in {"train_file", "dev_file"} & data.keys() - changes.keys():
        path = os.path.normpath(data[name])
        if os.path.isabs(path) or path.startswith(os.pardir):
            raise ValueError(
                f"The stored task must name files inside of its data folder, received {name}="
                f"{data[name]!r}; name the file by its flag."
            )
    return get(**{**data, **changes})


def check_dict(data):
    """Raises ValueError unless plain data have the form that `Task.to_dict` returns."""
    beginning = "The task of the model must be one that this version knows, received"
    json_file.check(data, TaskData, f"{beginning} {str(data)[:_SHOWN]}", "train the model again")


def canonical_name(name):
    """Returns the name of a task as it is published, such as "STS-B" for "stsb".

    Raises:
      ValueError: if the name is unknown.
    """
    known = {_plain(key): key for key in (*glue.TASKS, "XNLI", "SQuAD", "mlm", "tsv")}
    if _plain(name) not in known:
        nearest = difflib.get_close_matches(_plain(name), known, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"Unknown task {name!r}, did you mean {known[nearest]!r}? Expected one of "
            f"{list(known.values())}."
        )
    return known[_plain(name)]


def get_several(names, *, data_dir="", tfds="", language="en", **columns):
    """Returns the `MultiTask` of tasks that are learned together.

    Args:
      names: of the tasks, with commas between them.
      data_dir: the folder with one for each, for "tsv" as in `get`.
      tfds: "glue" for the data sets of TensorFlow Datasets; `data_dir` is then its folder.
      language: for "xnli", as in `get`.
      **columns: for "tsv", as in `get`.

    Raises:
      ValueError: if a name is unknown, there is none, one occurs twice, or one is a task whose
        outputs are not those of a text.
    """
    tasks, names = [], list(filter(None, map(str.strip, names.split(","))))
    if "tsv" not in map(_plain, names):
        own_files.check_left_out(",".join(names), **columns)
    for name in names:
        if _plain(name) == "tsv":
            folder = os.path.join(data_dir, "tsv")
            tasks.append(get(name, data_dir=folder, **columns))
        else:
            tasks.append(get(name, language=language))
    if tfds:
        tasks = [_of_tfds(task, tfds) for task in tasks]
    return multitask.of(tasks)


def _of_tfds(task, tfds):
    known = {name: dataset for dataset, (name, _) in reversed(tfds_data.DATASETS.items())}
    if tfds != "glue" or task.name not in known:
        raise ValueError(
            "Argument `tfds` must be glue for several tasks, which are those of GLUE, received "
            f"{tfds!r} for {task.name!r}."
        )
    return get("", tfds=known[task.name])


def _plain(name):
    return name.lower().replace("-", "").replace("_", "")
