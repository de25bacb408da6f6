"""Options of the data: which examples, how long their inputs are, how many a batch has."""

import dataclasses

from bert_tf.data.batch_plan import WIDTH_STEP
from bert_tf.option_fields import check, items, option
from bert_tf.ranges import FROM_0, FROM_1, SEED, SEQUENCE_LENGTH, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Sizes of batches of training and evaluation."""

    train_batch_size: int = option(
        32, "Examples a training step, over all devices.", allowed=FROM_1
    )
    # Each part makes the others wait.
    gradient_accumulation_steps: int = option(
        1,
        "Parts of a batch, one after the other, that make one update.",
        allowed=Range(at_least=1, at_most=4096),
    )
    eval_batch_size: int = option(64, "Examples a batch of evaluation.", allowed=FROM_1)

    def check_rules(self):
        """Raises ValueError where a batch has more parts than examples."""
        fits = self.gradient_accumulation_steps <= self.train_batch_size
        check(self, "gradient_accumulation_steps", fits, "at most `train_batch_size`")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleOptions:
    """Which examples of the training set are trained on."""

    train_examples: int = option(
        0, "Trains on the first N of the rest alone, of each task; 0 is all.", allowed=FROM_0
    )
    train_subset: int = option(
        0, "Trains on N examples drawn by the seed alone; 0 is all.", allowed=FROM_0
    )
    holdout_examples: int = option(
        0,
        "Training examples held out, of squad whole articles; they choose the best model.",
        allowed=FROM_0,
    )
    holdout_seed: int = option(0, "Seed of the hold-out split.", allowed=SEED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthOptions:
    """Lengths of inputs."""

    max_seq_length: int = option(
        None,
        "Longest input in WordPieces; longer ones are cut. 128, of squad windows of 384.",
        allowed=SEQUENCE_LENGTH,
    )
    length_buckets: str = option(
        "",
        "Widths of batches next to max_seq_length; ascending multiples of 8.",
        allowed=FROM_1,
        list_of=int,
    )

    @property
    def widths(self):
        """The widths that `length_buckets` names, a list of ints."""
        return items(self, "length_buckets")

    def check_rules(self):
        """Raises ValueError where the widths are not ascending multiples up to the longest."""
        if not (widths := self.widths):
            return
        # With the task its default length is known, and this is checked again.
        longest = self.max_seq_length or widths[-1]
        check(self, "length_buckets", max(widths) <= longest, "widths up to `max_seq_length`")
        fit = all(width % WIDTH_STEP == 0 or width == longest for width in widths)
        expected = f"ascending multiples of {WIDTH_STEP}, or `max_seq_length` itself"
        check(self, "length_buckets", fit and widths == sorted(widths), expected)
