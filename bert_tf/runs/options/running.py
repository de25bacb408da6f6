"""Options of how a run goes: its parts, checkpoints, seed and arithmetic."""

import dataclasses

from bert_tf.option_fields import FINE_TUNING, option
from bert_tf.ranges import ABOVE_0, FROM_0, FROM_1, SEED


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartOptions:
    """What a run does, and for how long."""

    do_train: bool = option(
        True, "Trains; otherwise the model at hand is evaluated.", runs=FINE_TUNING
    )
    do_eval: bool = option(True, "Scores the dev set at every checkpoint.")
    do_predict: bool = option(False, "Writes predictions for the test set at the end.")
    predict_batch_size: int = option(64, "Examples a batch of prediction.", allowed=FROM_1)
    num_train_epochs: float = option(3.0, "Passes over the training set.", allowed=ABOVE_0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavingOptions:
    """The seed, and the checkpoints from which a stopped run resumes."""

    seed: int = option(0, "Random seed.", allowed=SEED)
    save_checkpoints_steps: int = option(
        0, "Steps between checkpoints; 0 is 1000 or an epoch.", allowed=FROM_0
    )
    keep_checkpoints: int = option(2, "Newest checkpoints that stay.", allowed=FROM_1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArithmeticOptions:
    """Types and compilation of the training step."""

    mixed_precision: str = option("none", "Type of activations.", ("none", "float16", "bfloat16"))
    jit_compile: bool = option(False, "Compiles the training step by XLA.", runs=FINE_TUNING)
    deterministic: bool = option(
        False, "The same seed gives the same numbers in every process, also on a GPU."
    )
