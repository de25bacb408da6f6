"""Every setting of a search for a mask on text, with its default and one line of help."""

import dataclasses
import math

from bert_tf.data.batch_plan import MOST_EXAMPLES
from bert_tf.methods.text_masks.hidden_losses import HIDDEN, RELATIONS
from bert_tf.methods.text_masks.mask_loss import LossTerms
from bert_tf.ranges import FROM_0, FROM_1, SEED, SEQUENCE_LENGTH, SHARE_BELOW_1, Range
from bert_tf.runs.options import (
    PARTS,
    FinetuneOptions,
    check,
    check_fields,
    check_left_out,
    numbers,
    option,
)
from flop_tf import gates
from flop_tf.training import iterative_magnitude, mask_training

#: Ways to search: train scores, or prune by magnitude between rounds of training the weights.
METHODS = ("mask", "imp")

#: Units whose masks can be trained instead of those of weights.
UNIT_KINDS = ("heads", "neurons")

_STEPS = Range(at_least=0, at_most=MOST_EXAMPLES)

# What the other one has; these stay as they are.
_NOT_OF_METHOD = {
    "mask": ("rewind",),
    "imp": (
        "init",
        "binarizer",
        "update_every",
        "start_sparsity",
        "score_learning_rate",
        "score_weight_decay",
        "units",
        "importance",
        "layers_to_mask",
    ),
}

# How far noise alone moves a score in a run; the threshold starts at .01. See docs/decisions.md.
_SCORE_NOISE = 0.0035


@dataclasses.dataclass(frozen=True)
class MaskOptions:
    """Settings of `bert_tf.methods.text_masks.search.search`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    # On what, and where to put it.
    data_dir: str = option("", "Folder of the texts.")
    train_file: str = option("train.txt", "Text in it to train on.")
    dev_file: str = option("dev.txt", "Text in it to evaluate on.")
    init_checkpoint: str = option("", "Dense BERT to search in, any format.")
    output_dir: str = option("", "Folder for the mask, checkpoints and TensorBoard files.")
    bert_config_file: str = option("", "BERT config, if it does not lie beside the checkpoint.")
    vocab_file: str = option("", "Vocabulary, if it does not lie beside the checkpoint.")
    do_lower_case: bool = option(
        None, "Uncased vocabulary; else the checkpoint or its words say so."
    )
    max_seq_length: int = option(128, "Tokens of a block of text.", allowed=SEQUENCE_LENGTH)
    train_batch_size: int = option(16, "Blocks a training step.", allowed=FROM_1)
    gradient_accumulation_steps: int = option(
        1, "Parts of that batch, one after the other.", allowed=PARTS
    )
    eval_batch_size: int = option(32, "Blocks a batch of evaluation.", allowed=FROM_1)
    eval_blocks: int = option(
        256, "Blocks that are scored at a checkpoint; at the end all are.", allowed=FROM_0
    )
    # The head of masked language modelling.
    train_head: bool = option(
        False, "Trains one on the frozen dense BERT first, where the checkpoint has none."
    )
    head_steps: int = option(500, "Training steps of the MLM head.", allowed=_STEPS)
    head_learning_rate: float = option(1e-3, "Rate of that, decays to 0.", allowed=FROM_0)
    # The search.
    method: str = option("mask", "Train masks, or prune by magnitude iteratively.", METHODS)
    sparsity: float = option(0.5, "Share of weights to mask, in [0, 1).", allowed=SHARE_BELOW_1)
    num_train_steps: int = option(
        1000, "Steps of the search; 0 trains the head alone.", allowed=_STEPS
    )
    init: str = option(
        "",
        "How scores start; proportional, of straight_through_bernoulli equal.",
        ("", *mask_training.INITS),
    )
    binarizer: str = option(
        "straight_through", "How scores make the mask of a step.", gates.STRAIGHT_THROUGH
    )
    update_every: int = option(
        10, "Steps between two times that thresholds are set.", allowed=FROM_1
    )
    start_sparsity: float = option(
        None, "Sparsity at first, then cubic; else the asked one.", allowed=SHARE_BELOW_1
    )
    score_learning_rate: float = option(
        None, "Rate of the scores, decays to 0; from the run's length.", allowed=FROM_0
    )
    score_weight_decay: float = option(0.0, "Decoupled decay of the scores.", allowed=FROM_0)
    learning_rate: float = option(
        5e-5, "Rate of the head, and of all weights of imp.", allowed=FROM_0
    )
    units: str = option("", "Trains masks of these instead, with commas: heads,neurons.")
    importance: str = option(
        "", "Of units: files of flop-find-tickets that say what to keep first, with commas."
    )
    layers_to_mask: str = option(
        "", "Only in these blocks, with commas; empty is all.", allowed=FROM_0, list_of=int
    )
    rewind: bool = option(True, "imp: weights go back to the start after each round.")
    mask: str = option("", "With no steps: mask file that is scored beside the dense BERT.")
    # What is learned.
    mlm: bool = option(True, "Masked words.")
    teacher: str = option("", "BERT whose hidden states are learned; that of init_checkpoint.")
    distill_hidden: str = option("", "Distance of hidden states to learn.", ("", *HIDDEN))
    distill_last_layer: bool = option(False, "Only those of the last layer.")
    distill_first_token: bool = option(False, "Only those of [CLS].")
    distill_attention: bool = option(False, "Learns raw attention scores.")
    distill_relation: str = option("", "Relations to learn.", ("", *RELATIONS))
    distill_padding: bool = option(False, "Padding counts too, as in the published code.")
    # Running.
    seed: int = option(0, "Of everything random.", allowed=SEED)
    save_checkpoints_steps: int = option(
        0, "Steps between checkpoints; 0 is a quarter of the run.", allowed=FROM_0
    )
    keep_checkpoints: int = option(2, "Newest checkpoints that stay.", allowed=FROM_1)

    def __post_init__(self):
        check_fields(self)
        if self.start_sparsity is not None:
            check(self, "start_sparsity", self.start_sparsity <= self.sparsity, "in [0, s]")
        if self.method == "imp":
            least = iterative_magnitude.num_rounds(self.sparsity) - 1
            enough = self.num_train_steps >= least or not self.num_train_steps
            check(self, "num_train_steps", enough, f"at least {least}, one a round of imp")
        check_left_out(self, _NOT_OF_METHOD[self.method])
        if unknown := sorted(set(self.unit_kinds) - set(UNIT_KINDS)):
            raise ValueError(
                f"Argument `units` expects names of {', '.join(UNIT_KINDS)}, received "
                f"{', '.join(unknown)}."
            )
        check(self, "importance", self.units or not self.importance, "empty without units")
        check(self, "mask", not (self.mask and self.num_train_steps), "empty where one is trained")
        # Heads that are gone have no scores to compare.
        compared = self.distill_attention and "heads" in self.unit_kinds
        check(self, "distill_attention", not compared, "false of heads")
        self.finetune_options()
        self.loss_terms()

    @property
    def unit_kinds(self):
        """The kinds of units whose masks are trained, a tuple; empty for weights."""
        return tuple(name.strip() for name in self.units.split(",") if name.strip())

    @property
    def blocks(self):
        """The blocks that are masked, a set of ints, or None for all."""
        return set(numbers(self, "layers_to_mask")) or None

    @property
    def first_scores(self):
        """How scores start, of `mask_training.INITS`."""
        drawn = self.binarizer == "straight_through_bernoulli"
        return self.init or ("equal" if drawn else "proportional")

    @property
    def score_rate(self):
        """Rate of the scores at the first step; it decays to 0."""
        if self.score_learning_rate is not None:
            return self.score_learning_rate
        return _SCORE_NOISE / math.sqrt(max(1, self.num_train_steps))

    @property
    def save_steps(self):
        """Steps between two checkpoints."""
        return self.save_checkpoints_steps or max(1, self.num_train_steps // 4)

    def loss_terms(self):
        """Returns the `LossTerms`."""
        return LossTerms(
            self.mlm,
            self.distill_hidden,
            self.distill_last_layer,
            self.distill_first_token,
            self.distill_attention,
            self.distill_relation,
            self.distill_padding,
        )

    def finetune_options(self):
        """Returns what training on the same text is asked for, as of the task mlm."""
        names = {field.name for field in dataclasses.fields(FinetuneOptions)}
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in names}
        del own["teacher"], own["mask"]
        return FinetuneOptions(task_name="mlm", **own)
