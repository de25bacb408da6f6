"""Every setting of a search for tickets, with its default and one line of help."""

import dataclasses

from bert_tf.encoders.config import PROJECTIONS, UNITS
from bert_tf.ranges import FROM_0, FROM_1, SEED, SEQUENCE_LENGTH, SHARE, SHARE_ABOVE_0, Range
from bert_tf.runs.options import check_fields, check_left_out, option
from flop_tf.gates import importance
from flop_tf.importance import scoring

METHODS = ("super", "lottery", "magnitude")

#: How importances are made comparable, by name.
NORMALIZATIONS = {
    "none": (),
    "layer": (scoring.normalize_by_layer,),
    "global": (scoring.normalize_globally,),
    "layer,global": (scoring.normalize_by_layer, scoring.normalize_globally),
}

# What the papers do, by method.
_REDUCERS = {"super": "token", "lottery": "batch"}
_NORMALIZATIONS = {"super": "layer", "lottery": "layer,global"}

#: Which examples of the training split a training had, by the names of flop-finetune's flags.
TRAINING_EXAMPLES = ("holdout_examples", "holdout_seed", "train_subset", "train_examples")

# Options that a method has not.
_LEVELS = ("percents", "head_counts", "ffn_counts", "neuron_counts", "importance", "min_heads")
_IMPORTANCE = ("units", "reducer", "accumulate", "normalize")
_SEARCH = ("threshold", "amount")
_WEIGHTS = ("max_steps", "min_kept", "of_total", "include")
_WITHOUT = {
    "super": (*_SEARCH, *_WEIGHTS),
    "lottery": (*_LEVELS, *_WEIGHTS),
    "magnitude": (*_LEVELS, *_IMPORTANCE),
}


def flags_of(method, flags):
    """Returns those of some flags that say anything to a method, and those that no method knows.

    Args:
      method: what to look for; every method has the flags of an unknown one.
      flags: tuple of `--name=value`.
    """
    without = _WITHOUT.get(method, ())
    return tuple(f for f in flags if f.removeprefix("--").partition("=")[0] not in without)


@dataclasses.dataclass(frozen=True)
class FindOptions:
    """Settings of `bert_tf.methods.tickets.finding.find`.

    Raises:
      ValueError: if a value is out of range.
    """

    model_dir: str = option("", "Fine-tuned BERT, dense.")
    output_dir: str = option("", "Folder for masks and importances.")
    task_name: str = option("", "Task; that of the model.")
    data_dir: str = option("", "Its folder; that of the model.")
    method: str = option("super", "What to look for.", METHODS)
    units: str = option("heads,ffn", "What to prune, with commas: heads, ffn, neurons.")
    split: str = option("", "Examples to measure and score: train of super, else dev.")
    examples: int = option(0, "Uses only the first N of them; 0 is all.", allowed=FROM_0)
    holdout_examples: int = option(
        0, "Of train: as the training of the model held out.", allowed=FROM_0
    )
    holdout_seed: int = option(0, "Which ones.", allowed=SEED)
    train_subset: int = option(
        0, "Of train: as the model was trained on, drawn by the seed.", allowed=FROM_0
    )
    train_examples: int = option(
        0, "Of train: as the model was trained on, the first N.", allowed=FROM_0
    )
    reducer: str = option(
        "",
        "What importance is summed over before its absolute value; token of super, else batch.",
        ("", *importance.REDUCERS),
    )
    accumulate: bool = option(False, "Importances as the originals: no gradient is ever cleared.")
    normalize: str = option(
        "",
        "How importances are made comparable; layer of super, else layer,global.",
        ("", *NORMALIZATIONS),
    )
    percents: str = option(
        "10,20,30,40,50,60,70,80",
        "Of super: levels, percent of the heads; without any, importances are measured alone.",
        allowed=Range(at_least=0, at_most=100),
        list_of=float,
    )
    head_counts: str = option(
        "",
        "Of super: heads to remove at each level instead.",
        allowed=FROM_0,
        list_of=int,
        distinct=False,
    )
    ffn_counts: str = option(
        "", "Of super: FFNs to remove at each level.", allowed=FROM_0, list_of=int, distinct=False
    )
    neuron_counts: str = option(
        "",
        "Of super: neurons to remove at each level.",
        allowed=FROM_0,
        list_of=int,
        distinct=False,
    )
    importance: str = option("", "Of super: file of importances; how it was measured counts.")
    min_heads: int = option(1, "Of super: heads that each layer keeps.", allowed=FROM_0)
    threshold: float = option(
        0.9, "Of a search: share of the whole model's score to keep.", allowed=SHARE_ABOVE_0
    )
    amount: float = option(
        0.1, "Of a search: share of heads or weights that go in one step.", allowed=SHARE_ABOVE_0
    )
    max_steps: int = option(
        9, "Of magnitude: steps at most.", allowed=Range(at_least=1, at_most=10_000)
    )
    min_kept: float = option(
        0.0, "Of magnitude: share of the weights that stays in any case.", allowed=SHARE
    )
    of_total: bool = option(False, "Of magnitude: a step takes that share of all weights.")
    include: str = option("", "Of magnitude: projections with commas, such as query,ffn_in; all.")
    batch_size: int = option(32, "Examples a batch.", allowed=FROM_1)
    max_seq_length: int = option(
        None, "Longest input in WordPieces; that of the training.", allowed=SEQUENCE_LENGTH
    )
    seed: int = option(0, "Of random tickets.", allowed=SEED)

    def __post_init__(self):
        check_fields(self)
        for name in ("model_dir", "output_dir"):
            if not getattr(self, name):
                raise ValueError(f"Argument `{name}` is needed, received nothing.")
        if not self.kinds or set(self.kinds) - set(UNITS):
            raise ValueError(
                f"Argument `units` must name some of {', '.join(UNITS)}, received {self.units!r}."
            )
        if "neurons" in self.kinds and (len(self.kinds) > 1 or self.method == "lottery"):
            raise ValueError(
                "Argument `units` must name neurons alone, with the method super, received "
                f"{self.units!r} and the method {self.method}."
            )
        if unknown := set(self._included) - set(PROJECTIONS):
            raise ValueError(
                f"Argument `include` must name some of {', '.join(PROJECTIONS)}, received "
                f"{sorted(unknown)}."
            )
        check_left_out(self, _WITHOUT[self.method])

    @property
    def split_name(self):
        """The split that is asked for, or that of the method; "" is the task's first dev split."""
        return self.split or ("train" if self.method == "super" else "")

    @property
    def kinds(self):
        """The names in `units`."""
        return _names(self.units)

    @property
    def _included(self):
        return _names(self.include) or PROJECTIONS

    def includes(self, path):
        """Returns whether the weights of a path, such as `blocks.0.query.kernel`, may go."""
        return path.split(".")[-2] in self._included

    @property
    def reducer_name(self):
        """The reducer that is asked for, or that of the method."""
        return self.reducer or _REDUCERS[self.method]

    def normalized(self, importance):
        """Returns importances by kind, made comparable as it is asked for."""
        name = self.normalize or _NORMALIZATIONS[self.method]
        for normalize in NORMALIZATIONS[name]:
            importance = {kind: normalize(scores) for kind, scores in importance.items()}
        return importance


def _names(text):
    return tuple(name.strip() for name in text.split(",") if name.strip())
