"""The models whose speed can be measured: model directories and exported files.

A path is a model directory, `OUTPUT/VERSION` of `bert_tf.serving.exporting`, a file in there, or
any LiteRT or ONNX file with the inputs of ours.
"""

import dataclasses
import os
import typing

from bert_tf.checkpoints import model_dir
from bert_tf.checkpoints.own_format import CONFIG_FILE, read_config
from bert_tf.checkpoints.variables import SAFETENSORS_FILE
from bert_tf.encoders.config import EncoderConfig
from bert_tf.heads.head import head_of
from bert_tf.models import model_info
from bert_tf.serving import engines, formats, versions
from bert_tf.serving.target import AUTO
from bert_tf.studies.speed.model_directory import KERAS
from bert_tf.surgery import task_masks
from bert_tf.tasks import registry
from flop_tf import files
from flop_tf.files import json_file


class _Format(typing.TypedDict, total=False):
    scores: dict[str, float]
    config: json_file.Object


class _Report(typing.TypedDict, total=False):
    """What is read of an export's report."""

    formats: typing.Required[dict[str, _Format]]
    config: json_file.Object
    compared_on: typing.Required[str]
    num_examples: typing.Required[json_file.Count]
    task: json_file.Object
    stage: str


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model whose speed is measured, and what answers by it.

    Args:
      name: by which it is known in tables.
      path: see the module.
      engine: the `bert_tf.serving.engines.Engine`.
      loaded: path of the file or folder that the engine loads.
      config: its `EncoderConfig`; of an export, the config of the planned model; None of a file
        without a report.
      file_bytes: size of its weights and graph.
      about: `stage`, `task` and `scores`, as far as they are known.
    """

    name: str
    path: str
    engine: engines.Engine
    loaded: str
    config: EncoderConfig | None
    file_bytes: int
    about: dict

    @property
    def stage(self):
        """Stage of the model, None where it is not known."""
        return self.about.get("stage") or (self.config and model_info.stage(self.config))

    @property
    def is_program(self):
        """Whether loading it runs code that its author chose."""
        form = formats.of_path(self.loaded)
        return form is not None and form.is_program

    def start(self, threads=None, precision="none", jit_compile=False):
        """Returns the `bert_tf.serving.engines.Process` that answers by the model.

        Args:
          threads: of an operation; default as in this process.
          precision: of model directories, see `benchmark_process.configure`.
          jit_compile: whether XLA compiles models of model directories.

        Raises:
          ValueError: if the model cannot be loaded.
        """
        settings = {"precision": precision, "jit_compile": jit_compile}
        settings = settings if self.engine is KERAS else {}
        return engines.Process(self.engine, self.loaded, threads, **settings)

    def describe(self):
        """Returns the entry of the model in a report, plain data; None where it is not known."""
        return {
            "model": self.name,
            "folder": self.path,
            "engine": self.engine.title,
            "file_bytes": self.file_bytes,
            **counts(self.config),
            "task": None,
            "scores": {},
            **self.about,
            "stage": self.stage,
        }


def find(paths, engine_names=()):
    """Returns a `Subject` for each path and engine that reads it, a list.

    Args:
      paths: list of paths, see the module.
      engine_names: names in `ENGINES`, or `AUTO` for all at hand, that read exports. Default none:
        a file is read by the engine that exports are checked by, of a folder its SavedModel or,
        where there is none, its first file.

    Raises:
      ValueError: if a path is named twice or holds nothing that can be measured, an engine is
        unknown or not installed, or none reads a path.
    """
    paths = [os.fspath(path) for path in paths]
    if len(set(paths)) < len(paths):
        raise ValueError(f"Argument `paths` names a path twice, received {paths}.")
    chosen = _engines(engine_names)
    names = [_short(path) for path in paths]
    if len(set(names)) < len(names):
        names = paths
    return [one for pair in zip(names, paths, strict=True) for one in _find(*pair, chosen)]


def counts(config):
    """Returns the numbers of parameters of a config, plain data; None of none.

    Args:
      config: an `EncoderConfig`, or None.
    """
    return {
        "parameters": config and model_info.num_parameters(config),
        "kernel_parameters": config and model_info.num_kernel_parameters(config),
    }


def _engines(names):
    """Returns the engines of some names; raises ValueError where one cannot be used."""
    if AUTO in names:
        return {name: engine for name, engine in engines.ENGINES.items() if engine.is_installed}
    found = {name: engines.ENGINES[name] for name in names}
    for engine in found.values():
        engine.check()
    return found


def _find(name, path, chosen):
    """Returns the `Subject`s of a path by the chosen engines, or by the usual one."""
    if not os.path.exists(path):
        raise ValueError(f"The path {path!r} does not exist.")
    at_hand = _formats(path)
    if not at_hand:
        return [_model(name, path)]
    if not chosen:
        first = at_hand[0]
        return [_export(name, path, first, engines.ENGINES[engines.of_format(first)])]
    found = [
        _export(f"{_file_in(name, path, format_name)} by {engine_name}", path, format_name, engine)
        for format_name in at_hand
        for engine_name, engine in chosen.items()
        if format_name in engine.formats
    ]
    if not found:
        raise ValueError(
            f"The export {path!r} must be read by an engine of {list(chosen)}, but holds "
            f"{', '.join(at_hand)}."
        )
    return found


def _file_in(name, path, format_name):
    """Returns the name of a path with the file of a format, where the path is its folder."""
    loaded = formats.FORMATS[format_name].path(path)
    return os.path.join(name, os.path.relpath(loaded, path)) if os.path.isfile(loaded) else name


def _formats(path):
    """Returns the names of the formats that a path holds; [] of a model directory.

    A file of another name is known by its ending.
    """
    known = dict(formats.FORMATS.items())
    if (form := formats.of_path(path)) is not None and os.path.isfile(path):
        return [formats.FORMATS.name_of(form)]
    if os.path.isfile(path):
        ending = os.path.splitext(path)[1]
        return [name for name, form in known.items() if form.file.endswith(ending or "/")][:1]
    return [name for name, form in known.items() if os.path.isfile(os.path.join(path, form.file))]


def _model(name, folder):
    """Returns the `Subject` of a model directory."""
    info = model_dir.load_info(folder)
    config = read_config(os.path.join(folder, CONFIG_FILE))
    task_masks.check_one_mask(folder, config)
    size = os.path.getsize(os.path.join(folder, SAFETENSORS_FILE))
    about = _about(info, info.get("scores", {}))
    return Subject(name, folder, KERAS, folder, config, size, about)


def _export(name, path, format_name, engine):
    """Returns the `Subject` of an export in a format."""
    form, folder = formats.FORMATS[format_name], _folder(path)
    is_ours = os.path.isdir(path) or form.is_at(path)
    loaded = form.path(folder) if is_ours else path
    files.check_regular(os.path.join(folder, form.file) if is_ours else path, "export")
    report_file = os.path.join(folder, versions.REPORT_FILE)
    if not (is_ours and os.path.isfile(report_file)):
        return Subject(name, path, engine, loaded, None, _size(form, folder, loaded), {})
    report = json_file.read(report_file, _Report, "report of an export", "export the model again")
    try:
        row = {**report, **report["formats"][format_name]}  # A model for all, in older reports.
        scores = row["scores"]
        split = f"{report['compared_on']}, {report['num_examples']} examples"
        about = _about(report, {split: scores} if scores else {})
        config = EncoderConfig.from_dict(row["config"])
        head_of(config)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"The file {report_file!r} is no report of {format_name}: {error}."
        ) from error
    return Subject(name, path, engine, loaded, config, _size(form, folder, loaded), about)


def _size(form, folder, loaded):
    """Returns the bytes of graph and weights."""
    paths = [loaded] if os.path.isfile(loaded) else form.files(folder)
    return sum(map(os.path.getsize, paths))


def _about(info, scores):
    """Returns `Subject.about`; raises ValueError where the scores are not of the task."""
    if scores:
        task = registry.from_dict({"name": "", **info.get("task", {})})
        if not all(task.primary_metric in values for values in scores.values()):
            raise ValueError(
                f"The scores of the model must have {task.primary_metric!r}, as its task "
                f"{task.name!r} has, received {scores}."
            )
    stage = {"stage": info["stage"]} if "stage" in info else {}
    return {**stage, "task": info.get("task"), "scores": scores}


def _folder(path):
    return os.path.dirname(path) if os.path.isfile(path) else path


def _short(path):
    """Returns the last part of a path, or as many as tell exports of several models apart."""
    parts = os.path.normpath(path).split(os.sep)
    known = formats.of_path(path)
    return os.path.join(*parts[-1 if known is None else -3 if os.path.isfile(path) else -2 :])
