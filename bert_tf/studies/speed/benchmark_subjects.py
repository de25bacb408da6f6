"""The models whose speed can be measured: model directories and exported files.

A path is a model directory, `OUTPUT/VERSION` of `bert_tf.serving.exporting` (its SavedModel), or a
LiteRT or ONNX file in there.
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
from bert_tf.studies.speed.model_directory import KERAS
from bert_tf.surgery import task_masks
from bert_tf.tasks import registry
from flop_tf import files
from flop_tf.files import json_file


class _Format(typing.TypedDict, total=False):
    scores: dict[str, float]


class _Report(typing.TypedDict, total=False):
    """What is read of an export's report."""

    formats: typing.Required[dict[str, _Format]]
    config: typing.Required[json_file.Object]
    compared_on: typing.Required[str]
    num_examples: typing.Required[json_file.Count]
    task: json_file.Object
    stage: str


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model whose speed is measured.

    Args:
      name: by which it is known in tables.
      path: see the module.
      config: its `EncoderConfig`; of an export, the config of the planned model.
      file_bytes: size of its weights and graph.
      about: `stage`, `task` and `scores`, as far as they are known.
    """

    name: str
    path: str
    config: EncoderConfig
    file_bytes: int
    about: dict

    @property
    def form(self):
        """The `bert_tf.serving.formats.Format` of an export, None of a model directory."""
        return formats.of_path(self.path)

    def start(self, threads=None, precision="none", jit_compile=False):
        """Returns the `bert_tf.serving.engines.Process` that answers by the model.

        Args:
          threads: of an operation; default as in this process.
          precision: of model directories, see `benchmark_process.configure`.
          jit_compile: whether XLA compiles models of model directories.

        Raises:
          ValueError: if the model cannot be loaded.
        """
        if self.form is None:
            settings = {"precision": precision, "jit_compile": jit_compile}
            return engines.Process(KERAS, self.path, threads, **settings)
        engine = engines.of_format(formats.FORMATS.name_of(self.form))
        return engines.Process(engine, self.form.path(_folder(self.path)), threads)

    def describe(self):
        """Returns the entry of the model in a report, plain data."""
        return {
            "model": self.name,
            "folder": self.path,
            "stage": model_info.stage(self.config),
            **counts(self.config),
            "file_bytes": self.file_bytes,
            **self.about,
        }


def find(paths):
    """Returns a `Subject` for each path.

    Args:
      paths: list of paths, see the module.

    Raises:
      ValueError: if a path is named twice or holds nothing that can be measured.
    """
    paths = [os.fspath(path) for path in paths]
    if len(set(paths)) < len(paths):
        raise ValueError(f"Argument `paths` names a path twice, received {paths}.")
    names = [_short(path) for path in paths]
    if len(set(names)) < len(names):
        names = paths
    return [_find(name, path) for name, path in zip(names, paths, strict=True)]


def counts(config):
    """Returns the numbers of parameters of a config, plain data."""
    return {
        "parameters": model_info.num_parameters(config),
        "kernel_parameters": model_info.num_kernel_parameters(config),
    }


def _find(name, path):
    if not os.path.exists(path):
        raise ValueError(f"The path {path!r} does not exist.")
    form = formats.of_path(path)
    return _model(name, path) if form is None else _export(name, path, form)


def _model(name, folder):
    """Returns the `Subject` of a model directory."""
    info = model_dir.load_info(folder)
    config = read_config(os.path.join(folder, CONFIG_FILE))
    task_masks.check_one_mask(folder, config)
    size = os.path.getsize(os.path.join(folder, SAFETENSORS_FILE))
    return Subject(name, folder, config, size, _about(info, info.get("scores", {})))


def _export(name, path, form):
    """Returns the `Subject` of an export in a format."""
    folder = _folder(path)
    files.check_regular(os.path.join(folder, form.file), "export")
    report_file = os.path.join(folder, versions.REPORT_FILE)
    if not os.path.isfile(report_file):
        raise ValueError(f"The export {path!r} must have {report_file!r}, there is none.")
    report = json_file.read(report_file, _Report, "report of an export", "export the model again")
    format_name = formats.FORMATS.name_of(form)
    try:
        scores = report["formats"][format_name]["scores"]
        split = f"{report['compared_on']}, {report['num_examples']} examples"
        about = _about(report, {split: scores} if scores else {})
        config = EncoderConfig.from_dict(report["config"])
        head_of(config)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"The file {report_file!r} is no report of {format_name}: {error}."
        ) from error
    return Subject(name, path, config, sum(map(os.path.getsize, form.files(folder))), about)


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
