"""Every task by its name, each in a file of this folder: GLUE, XNLI, SQuAD, "mlm", "tsv", ..."""

import dataclasses
import os

import msgspec

from bert_tf import option_fields
from bert_tf.tasks import multitask, tfds_data
from bert_tf.tasks.task import plain
from flop_tf import files
from flop_tf.files import json_file
from flop_tf.registry import Registry

# Characters of a stored task that an error shows.
_SHOWN = 300


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The options of a task that has none of its own."""


#: By the name of each task, as it is published, the function that makes it, with `options`.
TASKS = Registry("task", "bert_tf.tasks", plain)


def register_task(name, options=NoOptions):
    """Returns a decorator that registers a function which makes a task.

    ```python
    @register_task("tone", ToneOptions)
    def tone(settings, data_dir, labels):
        return TextTask("tone", splits, labels=("calm", "loud"))
    ```

    Args:
      name: of the task, as it is published.
      options: frozen dataclass of `bert_tf.option_fields.option`, the options that only this task
        has. They are arguments of `get` and flags of flop-finetune. Defaults to none.
    """

    def decorator(make):
        make.options = options
        return TASKS.register(name)(make)

    return decorator


def get(name, *, data_dir=None, labels=None, tfds="", tasks=None, **settings):
    """Returns the task called `name`, however its case and hyphens are written.

    Args:
      name: a GLUE task, "xnli", "squad", "squad2", "tokens" for tags of words, "embedding", "mlm"
        for masked words of plain text, "tsv" for `train.tsv`, `dev.tsv` and `test.tsv`, or
        `train.csv` or `train.jsonl`, ..., or another registered task; may be empty next to `tfds`.
      data_dir: folder of the task, for a task that collects its labels there.
      labels: the labels that a model was trained with, in the order of its
        logits. Decides the labels of "tsv"; other tasks must have the same.
      tfds: data set of TensorFlow Datasets to read instead of the published
        files, such as "glue/sst2"; `data_dir` of the task is then the folder of TFDS.
      tasks: list of tasks that are learned together, as `MultiTask.to_dict` returns it.
      **settings: the task's own options, such as `language` of "xnli"; None is the default.

    Returns:
      The `Task`.

    Raises:
      ValueError: if the name is unknown or the arguments do not fit the task.
    """
    if tasks is not None:
        found = multitask.of([get(**one | _own(one["name"], settings)) for one in tasks])
        _check_own(settings, found.names, ",".join(found.names))
        return get_several(",".join(found.names), tfds=tfds) if tfds else found
    dataset = tfds_data.DATASETS[tfds] if tfds else None
    key = canonical_name(name or (dataset.task if dataset else ""))
    if dataset and key != dataset.task:
        raise ValueError(
            f"The data set {tfds!r} is of the task {dataset.task!r}, received the task {key!r}; "
            "leave one of `tfds` and `task_name` out."
        )
    _check_own(settings, [key], key)
    maker = TASKS[key]
    task = maker(maker.options(**_own(key, settings)), data_dir, labels)
    if dataset:
        task = dataset.prepared(task)
    if labels and tuple(labels) != task.labels:
        raise ValueError(
            f"Task {key} has the labels {task.labels and list(task.labels)}, but the model was "
            f"trained with {list(labels)}."
        )
    return task


def get_several(names, *, data_dir="", tfds="", **settings):
    """Returns the `MultiTask` of tasks that are learned together.

    Args:
      names: of the tasks, with commas between them.
      data_dir: folder with one for each, of its name.
      tfds: "glue" for the data sets of TensorFlow Datasets; `data_dir` is then its folder.
      **settings: options that one of the tasks has, see `get`.

    Raises:
      ValueError: if a name is unknown, there is none, one occurs twice, or one is no
        classification or regression of texts.
    """
    names = [canonical_name(name) for name in filter(None, map(str.strip, names.split(",")))]
    _check_own(settings, names, ",".join(names))
    tasks = [
        get(name, data_dir=os.path.join(data_dir, name), **_own(name, settings)) for name in names
    ]
    return multitask.of([_of_tfds(task, tfds) for task in tasks] if tfds else tasks)


def of_options(options):
    """Returns the task, or the `MultiTask`, of the options of a run.

    Args:
      options: of `bert_tf.runs.options.task`.

    Raises:
      ValueError: if a name is unknown, or an option belongs to another task.
    """
    several = [name for name in map(str.strip, options.tasks.split(",")) if name]
    name = options.task_name or (options.tfds and tfds_data.DATASETS[options.tfds].task)
    known = [canonical_name(one) for one in (several if options.tasks else [name])]
    check_of_tasks(options, known)
    settings = own_settings(options)
    if options.tasks:
        return get_several(options.tasks, data_dir=options.data_dir, tfds=options.tfds, **settings)
    return get(options.task_name, data_dir=options.data_dir, tfds=options.tfds, **settings)


def from_dict(data, **changes):
    """Returns the task that `Task.to_dict` described, as a model directory stores it.

    Args:
      data: plain data; what no task has is refused, and so are files outside of the data folder.
      **changes: arguments of `get` that take the place of those in the data.

    Raises:
      ValueError: if the data are no task of this version, or `get` refuses them.
    """
    check_dict(data)
    for field in _own_fields():
        if field.metadata["in_data_dir"] and field.name not in changes and data.get(field.name):
            files.inside("", data[field.name], f"The stored task, by its `{field.name}`,")
    return get(**{**data, **changes})


def check_dict(data):
    """Raises ValueError unless plain data have the form that `Task.to_dict` returns.

    Args:
      data: plain data, of JSON.
    """
    beginning = "The task of the model must be one that this version knows, received"
    json_file.check(data, form(), f"{beginning} {str(data)[:_SHOWN]}", "train the model again")
    for one in data.get("tasks") or ():
        check_dict(one)


def form():
    """Returns the shape of `Task.to_dict` with the options of all tasks, for `json_file`."""
    given = {"labels": list[str], "tfds": str, "tasks": list[dict]}
    given |= {field.name: _stored_type(field) for field in _own_fields()}
    optional = [(name, kind | None, None) for name, kind in given.items()]
    return msgspec.defstruct("TaskData", [("name", str), *optional], forbid_unknown_fields=True)


def canonical_name(name):
    """Returns the name of a task as it is published, such as "STS-B" for "stsb".

    Args:
      name: the name in any case, with or without hyphens.

    Raises:
      ValueError: if the name is unknown.
    """
    return TASKS.canonical(name)


def option_groups():
    """Returns the classes of the options that only one task has, a tuple, each once."""
    groups = {maker.options: None for _, maker in TASKS.items()}
    # One that others extend is a part of them.
    wider = {base for group in groups for base in group.__mro__[1:]}
    return tuple(one for one in groups if dataclasses.fields(one) and one not in wider)


def own_settings(options):
    """Returns the options that only one task has, by name, of the fields of some options.

    Args:
      options: dataclass of `bert_tf.option_fields.option`.
    """
    return {
        name: value
        for group in option_groups()
        for name, value in option_fields.values_of(options, group).items()
    }


def check_of_tasks(options, tasks):
    """Raises ValueError where an option was changed that belongs to none of the tasks of a run.

    Args:
      options: dataclass of `bert_tf.option_fields.option`.
      tasks: names of the tasks, as they are published.
    """
    for field in dataclasses.fields(options):
        owners = _owners(field.name)
        if owners and not set(owners) & set(tasks) and option_fields.is_changed(options, field):
            raise ValueError(
                f"Argument `{field.name}` belongs to the task {owners[0]}, received "
                f"{getattr(options, field.name)!r} with {' and '.join(tasks)}; leave it out."
            )


def _own(name, settings):
    """Returns the settings that are options of a task; None is the default."""
    own = option_fields.names(TASKS[name].options)
    return {one: value for one, value in settings.items() if one in own and value is not None}


def _check_own(settings, names, received):
    """Raises ValueError where settings belong to none of some tasks."""
    defaults = {field.name: field.default for field in _own_fields()}
    for setting, value in settings.items():
        if setting not in defaults:
            raise ValueError(
                f"Argument `{setting}` must be an option of a task, one of {sorted(defaults)}; "
                "leave it out."
            )
        owners = _owners(setting)
        if value is None or value == defaults[setting] or set(owners) & set(names):
            continue
        *first, last = [f"`{one}`" for one in option_fields.names(TASKS[owners[0]].options)]
        listed = f"Arguments {', '.join(first)} and {last} belong"
        raise ValueError(
            f"{listed if first else f'Argument {last} belongs'} to the task {owners[0]!r}, "
            f"received the task {received!r}."
        )


def _owners(option):
    """Returns the names of the tasks that have an option."""
    return [name for name, maker in TASKS.items() if option in option_fields.names(maker.options)]


def _own_fields():
    """Returns the fields of the options of all tasks."""
    return [field for group in option_groups() for field in dataclasses.fields(group)]


def _stored_type(field):
    item, allowed = field.metadata["list_of"], field.metadata["allowed"]
    if item:
        return str | list[item]
    if allowed is not None and isinstance(field.default, int):
        return json_file.Count if 0 in allowed else json_file.Size
    return type(field.default) if field.default is not None else field.type


def _of_tfds(task, tfds):
    dataset = tfds_data.dataset_of(task.name) if tfds == "glue" else None
    if dataset is None:
        raise ValueError(
            "Argument `tfds` must be glue for several tasks, which come from GLUE, received "
            f"{tfds!r} for {task.name!r}."
        )
    return get("", tfds=dataset)
