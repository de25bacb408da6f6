"""Every setting of a search for a mask on text, with its default and one line of help."""

import dataclasses
import functools
import math

from bert_tf.data.batch_plan import MOST_EXAMPLES
from bert_tf.methods.text_masks.hidden_losses import HIDDEN, RELATIONS
from bert_tf.methods.text_masks.mask_loss import LossTerms
from bert_tf.option_fields import Options, changed, check, items, option, values_of
from bert_tf.ranges import FROM_0, FROM_1, SEQUENCE_LENGTH, SHARE_BELOW_1, Range
from bert_tf.runs.options import FinetuneOptions
from bert_tf.runs.options.checkpoint import CheckpointOptions, OutputOptions
from bert_tf.runs.options.data import BatchOptions
from bert_tf.runs.options.running import SavingOptions
from bert_tf.tasks.mlm import MlmTask, TextFileOptions
from flop_tf import gates
from flop_tf.training import iterative_magnitude, score_inits

#: Ways to search: train scores, or prune by magnitude between rounds of training the weights.
METHODS = ("mask", "imp")

#: Units whose masks can be trained instead of masks of weights.
UNIT_KINDS = ("heads", "neurons")

_STEPS = Range(at_least=0, at_most=MOST_EXAMPLES)

# How far noise alone moves a score in a run; the threshold starts at .01. See docs/decisions.md.
_SCORE_NOISE = 0.0035


_score_option = functools.partial(option, methods=("mask",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions(TextFileOptions):
    """The texts of a search, in blocks."""

    data_dir: str = option("", "Folder of the texts.")
    train_file: str = changed(TextFileOptions, "train_file", "train.txt", "Text in it to train on.")
    dev_file: str = changed(TextFileOptions, "dev_file", "dev.txt", "Text in it to evaluate on.")
    max_seq_length: int = option(128, "Tokens of a block of text.", allowed=SEQUENCE_LENGTH)
    eval_blocks: int = option(
        256, "Blocks that are scored at a checkpoint; at the end all are.", allowed=FROM_0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class MlmHeadOptions:
    """The head of masked language modelling."""

    train_head: bool = option(
        False, "Trains a head on the frozen dense BERT first if the checkpoint has none."
    )
    head_steps: int = option(500, "Training steps of the MLM head.", allowed=_STEPS)
    head_learning_rate: float = option(
        1e-3, "Learning rate of the MLM head, decays to 0.", allowed=FROM_0
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """How scores make a mask, and how they are trained."""

    init: str = _score_option(
        "",
        "How scores start; by default as the binarizer prefers.",
        ("", *score_inits.INITS),
    )
    binarizer: str = _score_option(
        "straight_through", "How scores make the mask of a step.", gates.STRAIGHT_THROUGH
    )
    update_every: int = _score_option(
        10, "Steps between two times that thresholds are set.", allowed=FROM_1
    )
    start_sparsity: float = _score_option(
        None, "Sparsity at first, then cubic; else the target.", allowed=SHARE_BELOW_1
    )
    score_learning_rate: float = _score_option(
        None, "Rate of the scores, decays to 0; from the run's length.", allowed=FROM_0
    )
    score_weight_decay: float = _score_option(0.0, "Decoupled decay of the scores.", allowed=FROM_0)
    units: str = _score_option(
        "", "Trains masks of these instead, with commas: heads,neurons.", list_of=str
    )
    importance: str = _score_option(
        "", "Of units: files of flop-find-tickets that say what to keep first, with commas."
    )
    layers_to_mask: str = _score_option(
        "", "Only in these blocks, with commas; empty is all.", allowed=FROM_0, list_of=int
    )

    @property
    def unit_kinds(self):
        """The kinds of units whose masks are trained, a tuple; empty for weights."""
        return tuple(items(self, "units"))

    @property
    def blocks(self):
        """The blocks that are masked, a set of ints, or None for all."""
        return set(items(self, "layers_to_mask")) or None

    @property
    def first_scores(self):
        """How scores start, of `score_inits.INITS`."""
        return self.init or gates.GATES[self.binarizer].default_init

    def check_rules(self):
        """Raises ValueError where units are unknown, or importances have no units."""
        if unknown := sorted(set(self.unit_kinds) - set(UNIT_KINDS)):
            raise ValueError(
                f"Argument `units` expects names of {', '.join(UNIT_KINDS)}, received "
                f"{', '.join(unknown)}."
            )
        check(self, "importance", self.units or not self.importance, "empty without units")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedOptions:
    """What is learned while a mask is searched."""

    mlm: bool = option(True, "Learns to predict masked words.")
    teacher: str = option("", "BERT whose hidden states are learned; by default init_checkpoint.")
    distill_hidden: str = option("", "Distance of hidden states to learn.", ("", *HIDDEN))
    distill_last_layer: bool = option(False, "Learns hidden states of the last layer alone.")
    distill_first_token: bool = option(False, "Learns hidden states of [CLS] alone.")
    distill_attention: bool = option(False, "Learns raw attention scores.")
    distill_relation: str = option("", "Relations to learn.", ("", *RELATIONS))
    distill_padding: bool = option(False, "Padding counts too, as in the published code.")

    def loss_terms(self):
        """Returns the `LossTerms`."""
        learned = {one.name for one in dataclasses.fields(LossTerms)} - {"mlm"}
        return LossTerms(self.mlm, **{name: getattr(self, f"distill_{name}") for name in learned})


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskOptions(
    TextOptions,
    CheckpointOptions,
    OutputOptions,
    BatchOptions,
    MlmHeadOptions,
    ScoreOptions,
    LearnedOptions,
    SavingOptions,
    Options,
):
    """Settings of `bert_tf.methods.text_masks.search.search`.

    Raises:
      ValueError: if a value is out of range or two exclude each other.
    """

    init_checkpoint: str = changed(
        CheckpointOptions, "init_checkpoint", "", "Dense BERT to search in, any format."
    )
    output_dir: str = changed(
        OutputOptions, "output_dir", "", "Folder for the mask, checkpoints and TensorBoard files."
    )
    train_batch_size: int = changed(BatchOptions, "train_batch_size", 16, "Blocks a training step.")
    eval_batch_size: int = changed(
        BatchOptions, "eval_batch_size", 32, "Blocks a batch of evaluation."
    )
    save_checkpoints_steps: int = changed(
        SavingOptions,
        "save_checkpoints_steps",
        0,
        "Steps between checkpoints; 0 is a quarter of the run.",
    )
    method: str = option("mask", "Train masks, or prune by magnitude iteratively.", METHODS)
    sparsity: float = option(0.5, "Share of weights to mask, in [0, 1).", allowed=SHARE_BELOW_1)
    num_train_steps: int = option(
        1000, "Steps of the search; 0 trains the head alone.", allowed=_STEPS
    )
    learning_rate: float = option(
        5e-5, "Rate of the head, and of all weights of imp.", allowed=FROM_0
    )
    rewind: bool = option(
        True, "imp: weights go back to the start after each round.", methods=("imp",)
    )
    mask: str = option("", "With no steps: mask file that is scored next to the dense BERT.")

    def check_rules(self):
        """Raises ValueError where sparsity, steps, masks and the objective exclude each other."""
        if self.start_sparsity is not None:
            check(self, "start_sparsity", self.start_sparsity <= self.sparsity, "in [0, s]")
        if self.method == "imp":
            least = iterative_magnitude.num_rounds(self.sparsity) - 1
            enough = self.num_train_steps >= least or not self.num_train_steps
            check(self, "num_train_steps", enough, f"at least {least}, one a round of imp")
        check(self, "mask", not (self.mask and self.num_train_steps), "empty where one is trained")
        # Removed heads have no scores to compare.
        compared = self.distill_attention and "heads" in self.unit_kinds
        check(self, "distill_attention", not compared, "false of heads")
        self.finetune_options()
        self.loss_terms()

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

    def finetune_options(self):
        """Returns the `FinetuneOptions` of a training on the same text, of the task mlm."""
        own = values_of(self, FinetuneOptions)
        del own["teacher"], own["mask"]
        return FinetuneOptions(task_name=MlmTask.name, **own)
