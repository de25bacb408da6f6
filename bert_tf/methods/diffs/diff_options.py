"""Every setting of diff pruning, with its default and one line of help."""

import dataclasses

from bert_tf.ranges import ABOVE_0, FINITE, FROM_0, FROM_1, SHARE_ABOVE_0, SHARE_BELOW_1, Range
from bert_tf.runs.options import FinetuneOptions, check, check_left_out, numbers, option
from flop_tf.diffs.diff_pruning import PENALTIES
from flop_tf.files import diff_file

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
    """Settings of `bert_tf.methods.diffs.diff_stages`; those of training are of the stage `learn`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    # As the paper trains: no warmup, no decay.
    learning_rate: float = option(5e-5, "Rate of the weights, decays to 0.", allowed=ABOVE_0)
    warmup_proportion: float = option(
        0.0, "Share of a stage in which its rate grows, below 1.", allowed=SHARE_BELOW_1
    )
    weight_decay: float = option(
        0.0, "Of the method non_adaptive: decoupled decay of kernels.", allowed=FROM_0
    )
    alpha_learning_rate: float = option(0.1, "Rate of the gates, constant.", allowed=FROM_0)
    keep_checkpoints: int = option(
        2, "Newest checkpoints that stay until a stage is finished.", allowed=FROM_1
    )
    # The difference.
    method: str = option("diff", "How its positions are found.", METHODS)
    structured: bool = option(True, "Gates of whole tensors beside those of their elements.")
    penalty: str = option("product", "How both are penalized together.", PENALTIES)
    sparsity_penalty: float = option(1.25e-7, "Lambda, the penalty of an element.", allowed=FROM_0)
    layer_penalties: str = option(
        "",
        "Lambdas with commas instead: embeddings, each layer, the rest.",
        allowed=FROM_0,
        list_of=float,
        distinct=False,
    )
    concrete_lower: float = option(
        -1.5, "Lower limit of the stretched gate, below 0.", allowed=Range(below=0)
    )
    concrete_upper: float = option(
        1.5, "Upper limit of the stretched gate, above 1.", allowed=Range(above=1)
    )
    initial_alpha: float = option(5.0, "Start of all gates.", allowed=FINITE)
    frozen_layers: int = option(
        None, "Embeddings and so many first layers get no difference.", allowed=FROM_0
    )
    frozen: str = option("", "Names without one, with commas: embeddings, blocks.1, pooler.kernel.")
    # The two stages after it.
    target_density: float = option(
        0.005, "Share of all parameters but the head that may differ.", allowed=SHARE_ABOVE_0
    )
    finetune_start: str = option("weights", "What fine-tuning starts from.", STARTS)
    finetune_learning_rate: float = option(5e-5, "Its rate, decays to 0.", allowed=ABOVE_0)
    finetune_epochs: float = option(3.0, "Its passes over the training set.", allowed=ABOVE_0)
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
        if self.method != "non_adaptive":
            check(self, "weight_decay", self.weight_decay == 0, f"0 with method={self.method}")
        if self.method != "diff":
            # The other methods say themselves what is trained.
            check_left_out(self, ("frozen_layers", "frozen"))

    @property
    def most_epochs(self):
        """Epochs of the longer one of the stages that train."""
        return max(self.num_train_epochs, self.finetune_epochs)

    @property
    def penalties(self):
        """The lambdas of `layer_penalties`, a list, or None."""
        return numbers(self, "layer_penalties") or None

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
