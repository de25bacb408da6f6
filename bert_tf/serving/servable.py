"""What is exported: a model, the task that it is served for, and the data it is compared on."""

import dataclasses
import os

from bert_tf.checkpoints import model_dir
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.option_fields import Options, option
from bert_tf.ranges import FROM_0
from bert_tf.serving import services
from bert_tf.surgery import task_masks
from bert_tf.tasks.model_task import ModelDataOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedTask(ModelDataOptions, Options):
    """The task that a model is served for, and the data that exports are compared on.

    Raises:
      ValueError: if a value is out of range.
    """

    dev_examples: int = option(1024, "Dev examples to compare on; 0 is all.", allowed=FROM_0)


@dataclasses.dataclass(frozen=True)
class Servable:
    """A model to export.

    Args:
      model: the `BertModel`, without gates.
      service: the `bert_tf.serving.services.Service` of its task.
      data_dir: folder of the task's data, or "".
      stage: of the model, see `bert_tf.models.model_info.stage`.
    """

    model: BertModel
    service: services.Service
    data_dir: str
    stage: str


def read(folder, served):
    """Returns the `Servable` in a model directory.

    Args:
      folder: the model directory, dense, factorized or compact, with a task head.
      served: the `ServedTask`.

    Raises:
      ValueError: if the model has gates, or does not fit the task.
    """
    source = model_dir.read(folder)
    info, tokenizer = source.info, source.tokenizer()
    _check_gates(folder, source.config)
    if not (served.task_name or served.tfds or "task" in info):
        raise ValueError(f"Argument `task_name` is needed: {folder!r} does not say its task.")
    task, known_dir = served.find_task(info)
    model = task.with_head(source, f"the model in {folder!r}").model()
    length = served.longest(info, model.config, task)
    data_dir = served.data_dir
    if not data_dir and os.path.isdir(known_dir):
        data_dir = known_dir
    stage = info.get("stage", model_info.stage(model.config))
    return Servable(model, services.get(task, tokenizer, length), data_dir, stage)


def _check_gates(folder, config):
    """Raises ValueError where masks are not removed."""
    task_masks.check_one_mask(folder, config)
    if config.has_gates:
        raise ValueError(
            f"The model in {str(folder)!r} has gates, which are not exported; remove the masks "
            "first by flop-remove-mask."
        )
