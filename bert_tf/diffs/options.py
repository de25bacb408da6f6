"""Every setting of diff pruning, with its default and one line of help."""

import dataclasses
import math

from bert_tf.training.options import FinetuneOptions, check, check_left_out, option
from flop_tf import diff_file, diff_projection
from flop_tf.diff_pruning import PENALTIES

#: How positions are found: by gates, by ordinary fine-tuning, or all of the last block.
METHODS = ("diff", "non_adaptive", "last_layer")

#: What fine-tuning starts from.
STARTS = ("weights", "zero")

# Of `FinetuneOptions`: what a difference has not; these stay as they are.
_NOT_OF_DIFFS = (
    "tasks",
    "glue_dir",
    "task_masks",
    "mask",
    "do_train",
    "optimizer",
    "regularization_scale",
    "gate",
    "factorized",
    "target_sparsity",
    "target_sparsity_warmup",
    "mask_update_steps",
    "gate_freeze_fraction",
    "initial_log_alpha",
    "gate_order_examples",
    "lambda_learning_rate",
    "learning_rate_warmup",
    "gate_schedule",
    "sparsity_base",
    "distribution_strategy",
    "jit_compile",
)


@dataclasses.dataclass(frozen=True)
class DiffOptions(FinetuneOptions):
    """Settings of `bert_tf.diffs.stages`; those of training are of the stage `learn`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    # As the paper trains: no warmup, no decay.
    warmup_proportion: float = option(0.0, "Share of a stage in which its rate grows, below 1.")
    weight_decay: float = option(0.0, "Of the method non_adaptive: decoupled decay of kernels.")
    alpha_learning_rate: float = option(0.1, "Rate of the gates, constant.")
    keep_checkpoints: int = option(2, "Newest checkpoints that stay until a stage is finished.")
    # The difference.
    method: str = option("diff", "How its positions are found.", METHODS)
    structured: bool = option(True, "Gates of whole tensors beside those of their elements.")
    penalty: str = option("product", "How both are penalized together.", PENALTIES)
    sparsity_penalty: float = option(1.25e-7, "Lambda, the penalty of an element.")
    layer_penalties: str = option(
        "", "Lambdas with commas instead: embeddings, each layer, the rest."
    )
    concrete_lower: float = option(-1.5, "Lower limit of the stretched gate, below 0.")
    concrete_upper: float = option(1.5, "Upper limit of the stretched gate, above 1.")
    initial_alpha: float = option(5.0, "Start of all gates.")
    frozen_layers: int = option(None, "Embeddings and so many first layers get no difference.")
    frozen: str = option("", "Names without one, with commas: embeddings, blocks.1, pooler.kernel.")
    # The two stages after it.
    target_density: float = option(0.005, "Share of all parameters but the head that may differ.")
    finetune_start: str = option("weights", "What fine-tuning starts from.", STARTS)
    finetune_learning_rate: float = option(5e-5, "Its rate, decays to 0.")
    finetune_epochs: float = option(3.0, "Its passes over the training set.")
    dtype: str = option("float32", "Type of the stored values.", diff_file.DTYPES)

    def __post_init__(self):
        super().__post_init__()
        for field in dataclasses.fields(self):
            if field.name in _NOT_OF_DIFFS and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"Argument `{field.name}` is not for differences, received "
                    f"{getattr(self, field.name)!r}; leave it out."
                )
        # A head of masked words has no kernel of its own, as the readers of differences ask for.
        check(self, "task_name", self.task_name.lower() != "mlm", "of classes, a score or spans")
        check(self, "mixed_precision", self.mixed_precision != "float16", "none or bfloat16")
        for name in ("learning_rate", "finetune_learning_rate", "finetune_epochs"):
            check(self, name, 0 < getattr(self, name) < math.inf, "above 0")
        if self.method != "non_adaptive":
            check(self, "weight_decay", self.weight_decay == 0, f"0 with method={self.method}")
        if self.method != "diff":
            # The other methods say themselves what is trained.
            check_left_out(self, ("frozen_layers", "frozen"))
        check(self, "concrete_lower", -math.inf < self.concrete_lower < 0, "below 0")
        check(self, "concrete_upper", 1 < self.concrete_upper < math.inf, "above 1")
        check(self, "initial_alpha", math.isfinite(self.initial_alpha), "a finite number")
        check(self, "sparsity_penalty", 0 <= self.sparsity_penalty < math.inf, "at least 0")
        numbers = all(0 <= one < math.inf for one in self.penalties or ())
        check(self, "layer_penalties", numbers, "numbers from 0 on with commas between them")
        frozen = self.frozen_layers
        check(self, "frozen_layers", frozen is None or frozen >= 0, "at least 0")
        diff_projection.budget(self.target_density, 1)

    @property
    def penalties(self):
        """The lambdas of `layer_penalties`, or None.

        Raises:
          ValueError: if one is no number.
        """
        try:
            return [float(text) for text in self.layer_penalties.split(",") if text.strip()] or None
        except ValueError as error:
            raise ValueError(
                "Argument `layer_penalties` must be numbers from 0 on with commas between them, "
                f"received {self.layer_penalties!r}."
            ) from error

    def of_scoring(self):
        """Returns `FinetuneOptions` of a run that trains nothing."""
        fields = dataclasses.fields(FinetuneOptions)
        values = {field.name: getattr(self, field.name) for field in fields}
        return FinetuneOptions(**{**values, "do_train": False})

    def of_finetuning(self):
        """Returns the options of the last stage: its rate and its epochs."""
        return dataclasses.replace(
            self,
            learning_rate=self.finetune_learning_rate,
            num_train_epochs=self.finetune_epochs,
        )
