"""Every setting of diff pruning: how a difference is learned, projected and trained again."""

import dataclasses

from bert_tf.option_fields import changed, check, items, option, values_of
from bert_tf.ranges import ABOVE_0, FINITE, FROM_0, SHARE_ABOVE_0, Range
from bert_tf.runs.options import FinetuneOptions
from bert_tf.runs.options.optimizer import OptimizerOptions
from bert_tf.runs.options.pruning import PruningOptions
from flop_tf.diffs.diff_pruning import PENALTIES
from flop_tf.files import diff_file

#: How positions are found: by gates, by ordinary fine-tuning, or all of the last block.
METHODS = ("diff", "non_adaptive", "last_layer")

#: What fine-tuning starts from.
STARTS = ("weights", "zero")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DifferenceOptions:
    """How the positions of a difference are found."""

    method: str = option("diff", "How the positions of the difference are found.", METHODS)
    structured: bool = option(True, "Gates of whole tensors next to the gates of their elements.")
    penalty: str = option("product", "How both gates are penalized together.", PENALTIES)
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
        None,
        "Number of first layers that, like the embeddings, get no difference.",
        allowed=FROM_0,
        methods=("diff",),
    )
    frozen: str = option(
        "",
        "Names without a difference, with commas: embeddings, blocks.1, pooler.kernel.",
        methods=("diff",),
    )

    @property
    def penalties(self):
        """The lambdas of `layer_penalties`, a list, or None."""
        return items(self, "layer_penalties") or None


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageOptions:
    """The two stages after a difference is learned."""

    target_density: float = option(
        0.005, "Share of all parameters but the head that may differ.", allowed=SHARE_ABOVE_0
    )
    finetune_start: str = option("weights", "What fine-tuning starts from.", STARTS)
    finetune_learning_rate: float = option(
        5e-5, "Learning rate of fine-tuning, decays to 0.", allowed=ABOVE_0
    )
    finetune_epochs: float = option(
        3.0, "Passes of fine-tuning over the training set.", allowed=ABOVE_0
    )
    dtype: str = option("float32", "Type of the stored values.", diff_file.DTYPES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffOptions(DifferenceOptions, StageOptions, FinetuneOptions):
    """Settings of `bert_tf.methods.diffs.diff_stages`; training settings are of the stage `learn`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    run_kind = "differences"

    # As the paper trains: no warmup, no decay.
    learning_rate: float = changed(
        OptimizerOptions,
        "learning_rate",
        5e-5,
        "Rate of the weights, decays to 0.",
        allowed=ABOVE_0,
    )
    warmup_proportion: float = changed(
        OptimizerOptions,
        "warmup_proportion",
        0.0,
        "Share of a stage in which its rate grows, below 1.",
    )
    weight_decay: float = changed(
        OptimizerOptions,
        "weight_decay",
        0.0,
        "Method non_adaptive: decoupled decay of kernels.",
    )
    alpha_learning_rate: float = changed(
        PruningOptions, "alpha_learning_rate", 0.1, "Rate of the gates, constant."
    )

    def check_rules(self):
        """Raises ValueError where a run of differences has another type or decay."""
        check(self, "mixed_precision", self.mixed_precision != "float16", "none or bfloat16")
        if self.method != "non_adaptive":
            check(self, "weight_decay", self.weight_decay == 0, f"0 with method={self.method}")

    @property
    def most_epochs(self):
        """Epochs of the longer one of the stages that train."""
        return max(self.num_train_epochs, self.finetune_epochs)

    def of_scoring(self):
        """Returns `FinetuneOptions` of a run that trains nothing."""
        return FinetuneOptions(**{**values_of(self, FinetuneOptions), "do_train": False})

    def of_finetuning(self):
        """Returns the options of the last stage: its rate and its epochs."""
        return dataclasses.replace(
            self,
            learning_rate=self.finetune_learning_rate,
            num_train_epochs=self.finetune_epochs,
        )
