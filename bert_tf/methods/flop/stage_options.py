"""Options of the stages around training: factorize, remove the gates, evaluate."""

import dataclasses

from bert_tf import ranges
from bert_tf.option_fields import Options, changed, option, unset
from bert_tf.ranges import ABOVE_0, FROM_1, SEED, SHARE_BELOW_1
from bert_tf.runs.options.checkpoint import CheckpointOptions
from bert_tf.runs.options.data import BatchOptions, ExampleOptions
from bert_tf.tasks import registry
from bert_tf.tasks.mlm import TextFileOptions
from bert_tf.tasks.model_task import ModelDataOptions
from bert_tf.tasks.own_files import TableOptions
from flop_tf.linalg import factorization


@dataclasses.dataclass(frozen=True, kw_only=True)
class CalibrationOptions(ModelDataOptions, unset(*registry.option_groups())):
    """The training examples whose statistics a factorization uses."""

    task_name: str = changed(
        ModelDataOptions,
        "task_name",
        "",
        "Task of the calibration data; by default the checkpoint's.",
    )
    data_dir: str = changed(ModelDataOptions, "data_dir", "", "Its folder.")
    calibration_batches: int = option(
        32, "Batches of 32 examples for the statistics.", allowed=FROM_1
    )
    holdout_examples: int = changed(
        ExampleOptions, "holdout_examples", 0, "Training examples that the statistics leave out."
    )
    holdout_seed: int = changed(ExampleOptions, "holdout_seed", 0)


@dataclasses.dataclass(frozen=True)
class FactorizeOptions(CalibrationOptions, Options):
    """Settings of `bert_tf.methods.flop.stages.factorize`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    checkpoint: str = option(None, "Dense BERT, any format.")
    output_dir: str = option(None, "Folder for the factorized model.")
    bert_config_file: str = changed(CheckpointOptions, "bert_config_file", None)
    vocab_file: str = changed(CheckpointOptions, "vocab_file", None)
    do_lower_case: bool = changed(CheckpointOptions, "do_lower_case", None)
    finetuned: bool = option(False, "Carries the task head over.")
    rank: str | int = option("full", "Ranks of every projection: full or a number.")
    density: float = option(
        None, "Ranks as a multiple of the break-even rank instead.", allowed=ABOVE_0
    )
    init: str = option(
        "", "How to factorize; whitened with data, else svd.", ("", *factorization.SPLITS)
    )
    seed: int = option(0, "Seed of the choice of examples and of a new task head.", allowed=SEED)
    mask: str = option("", "Mask file: factorizes the model under this mask.")

    @property
    def ranks(self):
        """The rank of every projection, "full" or an int."""
        return self.rank if self.rank == "full" else _rank(self.rank)

    @property
    def init_name(self):
        """The way to factorize: `init`, or by default "whitened" with data and "svd" without."""
        return self.init or ("whitened" if self.data_dir else "svd")

    def check_rules(self):
        """Raises ValueError where the rank is no number, or excluded by the density."""
        factorization.check_exclusive(self.ranks, self.density)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComparedOptions(ModelDataOptions):
    """The sentences that a gated and a compact model are compared on."""

    data_dir: str = changed(
        ModelDataOptions,
        "data_dir",
        "",
        "Sentences to compare both models on; by default the checkpoint's.",
    )


@dataclasses.dataclass(frozen=True)
class RemoveOptions(ComparedOptions, Options):
    """Settings of `bert_tf.methods.flop.stages.remove_mask`.

    Raises:
      ValueError: if a value is out of range.
    """

    checkpoint: str = option(None, "Model directory of the gated model.")
    output_folder_dir: str = option(None, "Folder for the compact model.")
    bert_config_file: str = option(None, "BERT config, if not in the checkpoint's folder.")
    threshold: float = option(
        0.0, "Ranks whose inference gate is at most this are removed.", allowed=SHARE_BELOW_1
    )


@dataclasses.dataclass(frozen=True)
class EvaluateOptions(ModelDataOptions, Options):
    """Settings of `bert_tf.methods.flop.stages.evaluate`.

    Raises:
      ValueError: if a value is out of range.
    """

    model_dir: str = option(None, "Model directory, any stage.")
    split: str = option("", "train, dev, test, ...; every dev split of the task.")
    output_dir: str = option("", "Folder for predictions and scores.json; none.")
    eval_batch_size: int = changed(BatchOptions, "eval_batch_size", 64, "Examples a batch.")
    dev_file: str = changed(
        TextFileOptions, "dev_file", "", "Task mlm: text of data_dir to evaluate on."
    )
    quoting: str = changed(TableOptions, "quoting", None)
    mask: str = option("", "Mask file, under which the model is scored.")


def _rank(rank):
    try:
        return ranges.parse("Argument `rank`", str(rank), int, FROM_1)
    except ValueError as error:
        raise ValueError(
            f"Argument `rank` must be 'full' or a number from 1 on, received {rank!r}."
        ) from error
