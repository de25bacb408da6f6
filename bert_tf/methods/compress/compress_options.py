"""Options of a compression: targets in what the user pays, and how a smaller model recovers."""

import dataclasses

from bert_tf import ranges
from bert_tf.encoders.config import PARENTS
from bert_tf.methods.compress import targets
from bert_tf.methods.compress.block_repair import LEAST_EXAMPLES
from bert_tf.methods.compress.unit_choice import GROUPS
from bert_tf.option_fields import Options, changed, check_needed, items, option
from bert_tf.ranges import FROM_0, FROM_1, SHARE_ABOVE_0, SHARE_BELOW_1, Range
from bert_tf.runs.options.checkpoint import CheckpointOptions, OutputOptions
from bert_tf.runs.options.data import BatchOptions, ExampleOptions, LengthOptions
from bert_tf.runs.options.distillation import DistillationOptions
from bert_tf.runs.options.optimizer import OptimizerOptions
from bert_tf.runs.options.pruning import check_groups
from bert_tf.runs.options.running import ArithmeticOptions, PartOptions, SavingOptions
from bert_tf.runs.options.task import TaskOptions
from bert_tf.serving.engines import ENGINES

# The options have a field of the module's name.
_COSTS = tuple(cost for cost, _ in targets.UNITS.values())


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetOptions:
    """What the models may cost."""

    targets: str = option(
        "0.5", "Shares of the dense model's cost, falling: .5,.33; or amounts in ms, MB, M or G."
    )
    cost: str = option(
        "latency",
        "Cost that targets limit; shares of bytes count weights, amounts in MB the whole file; "
        "multiplications are those of a request of `optimize_for`.",
        _COSTS,
    )
    engine: str = option("onnxruntime_int8", "Engine that serves the models.", tuple(ENGINES))
    optimize_for: str = option("8x128", "BATCHxLENGTH of the requests that the latency is of.")
    dense_engines: str = option(
        "all", "Engines of the dense model in the table: all at hand, or the same.", ("all", "same")
    )
    baselines: str = option(
        "",
        "Model directories to export and time next to the family, with commas, such as FLOP's.",
        list_of=str,
    )
    latency_table: str = option(
        "", "File of flop-benchmark --table, or folder of an export; by default it is measured."
    )

    @property
    def parsed_targets(self):
        """The targets, a list of `bert_tf.methods.compress.targets.Target`."""
        return targets.parse(self.targets, self.cost)

    @property
    def baseline_folders(self):
        """Paths of `baselines`, without slashes at the end."""
        return [path.rstrip("/") for path in items(self, "baselines")]

    @property
    def shape(self):
        """`(batch size, length)` of `optimize_for`."""
        return ranges.parse_shape("Argument `optimize_for`", self.optimize_for)

    def check_rules(self):
        """Raises ValueError where a target or the shape is malformed, or models share a name."""
        named = ["dense", *map(str, self.parsed_targets), *self.baseline_folders]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(
                "Arguments `targets` and `baselines` must name each model once, none dense, "
                f"received {twice[0]!r} again."
            )
        _ = self.shape


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingOptions:
    """What of the word embedding stays, in all models."""

    cut_vocabulary: bool = option(
        False, "Removes WordPieces that the training text never uses, but for single characters."
    )
    general_text: str = option(
        "", "Text file whose frequent WordPieces stay too.", needs="cut_vocabulary"
    )
    general_share: float = option(
        0.99,
        "Share of the general text's tokens whose WordPieces stay.",
        allowed=SHARE_ABOVE_0,
        needs="general_text",
    )
    embedding_rank: int = option(
        None,
        "Rank of two factors of the word embedding, nearest for frequent words; none is a matrix.",
        allowed=FROM_1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecoveryOptions:
    """How a model is repaired and trained after its units were removed."""

    calibration_examples: int = option(
        1024,
        "Training examples whose hidden states repair the projections.",
        allowed=Range(LEAST_EXAMPLES),
    )
    unit_importance: str = option(
        "energy",
        "Which units of a sublayer stay: those that write most, or, by labels, those that the loss "
        "depends on most.",
        ("energy", "fisher"),
    )
    repair: bool = option(True, "Fits what stays by least squares to the model before the cut.")
    train: str = option("1", "Epochs of recovery, or none.")
    gate_epochs: float = option(
        0.0,
        "Epochs in which gates choose the units while the model trains; 0 is by output energy.",
        allowed=FROM_0,
    )
    groups: str = option(
        "sublayers,heads,neurons",
        "What may go, with commas; without gates also head_dimensions, columns of all heads of a "
        "block, and ranks of projections.",
        list_of=str,
    )
    num_train_epochs: float = changed(
        PartOptions,
        "num_train_epochs",
        3.0,
        "Epochs that fine-tune a checkpoint without the task's head first.",
    )
    recovery_learning_rate: float = option(2e-4, "Rate of the recovery.", allowed=FROM_0)
    recovery_dropout: float = option(
        0.0,
        "Dropout of the recovery; a student follows its teacher best without.",
        allowed=SHARE_BELOW_1,
    )
    distill_alpha: float = changed(DistillationOptions, "distill_alpha", 0.3, needs=None)
    distill_layers: float = changed(DistillationOptions, "distill_layers", 0.6, needs=None)
    distill_temperature: float = changed(
        DistillationOptions, "distill_temperature", 2.0, needs=None
    )
    distill_match: str = changed(DistillationOptions, "distill_match", "same")

    @property
    def epochs(self):
        """Epochs of recovery, a float; 0 for none."""
        if self.train == "none":
            return 0.0
        return ranges.parse("Argument `train`", self.train, float, ranges.ABOVE_0)

    def check_rules(self):
        """Raises ValueError where the epochs are no number, or shares leave less than nothing."""
        _ = self.epochs
        DistillationOptions.check_rules(self)
        check_groups(self, GROUPS)
        if self.gate_epochs and not {"sublayers", *PARENTS}.issuperset(items(self, "groups")):
            raise ValueError(
                "Argument `gate_epochs` needs `groups` of sublayers, heads and neurons alone, "
                f"received groups={self.groups!r}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompressOptions(
    TaskOptions,
    CheckpointOptions,
    OutputOptions,
    TargetOptions,
    EmbeddingOptions,
    RecoveryOptions,
    BatchOptions,
    ExampleOptions,
    LengthOptions,
    OptimizerOptions,
    SavingOptions,
    ArithmeticOptions,
    Options,
):
    """Settings of `bert_tf.methods.compress.stages.compress`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    run_kind = "compression"

    def check_rules(self):
        """Raises ValueError where a needed option is empty."""
        check_needed(self, "init_checkpoint", "output_dir")
