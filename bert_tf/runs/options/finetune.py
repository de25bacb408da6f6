"""The options of fine-tuning; names are the original's where it has one, the defaults are ours."""

import dataclasses

from bert_tf.option_fields import FINE_TUNING, Options, check_needed
from bert_tf.runs.options.checkpoint import CheckpointOptions, OutputOptions
from bert_tf.runs.options.data import BatchOptions, ExampleOptions, LengthOptions
from bert_tf.runs.options.devices import DeviceOptions
from bert_tf.runs.options.distillation import DistillationOptions
from bert_tf.runs.options.optimizer import OptimizerOptions
from bert_tf.runs.options.pruning import PruningOptions
from bert_tf.runs.options.running import ArithmeticOptions, PartOptions, SavingOptions
from bert_tf.runs.options.task import SeveralTasksOptions, TaskOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneOptions(
    TaskOptions,
    SeveralTasksOptions,
    CheckpointOptions,
    OutputOptions,
    BatchOptions,
    ExampleOptions,
    LengthOptions,
    PartOptions,
    OptimizerOptions,
    PruningOptions,
    DistillationOptions,
    SavingOptions,
    ArithmeticOptions,
    DeviceOptions,
    Options,
):
    """Settings of `bert_tf.runs.finetuning.finetune`, made of the groups.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    run_kind = FINE_TUNING

    def check_rules(self):
        """Raises ValueError where a run has no task, data, checkpoint or output folder."""
        others = {"task_name": self.tfds or self.tasks, "data_dir": self.glue_dir}
        needed = ("task_name", "data_dir", "init_checkpoint", "output_dir")
        check_needed(self, *(name for name in needed if not others.get(name)))

    @property
    def most_epochs(self):
        """Epochs of the longest training of a run."""
        return self.num_train_epochs
