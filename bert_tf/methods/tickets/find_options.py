"""Every setting of a search for tickets, with its default and one line of help."""

import dataclasses
import functools

from bert_tf.encoders.config import PROJECTIONS, UNITS
from bert_tf.option_fields import Options, changed, check_needed, items, names, option
from bert_tf.ranges import FROM_0, FROM_1, SEED, SHARE, SHARE_ABOVE_0, Range
from bert_tf.runs.options.data import ExampleOptions
from bert_tf.tasks.model_task import ModelDataOptions
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
TRAINING_EXAMPLES = names(ExampleOptions)

# Options of some of the methods.
_level = functools.partial(option, methods=("super",))
_counts = functools.partial(_level, "", allowed=FROM_0, list_of=int, distinct=False)
_measure = functools.partial(option, methods=("super", "lottery"))
_step = functools.partial(option, methods=("lottery", "magnitude"))
_weight = functools.partial(option, methods=("magnitude",))


def flags_of(method, flags):
    """Returns the flags that a method accepts, and flags that no method knows.

    Args:
      method: what to look for; an unknown one accepts all.
      flags: tuple of `--name=value`.
    """
    without = {
        field.name
        for field in dataclasses.fields(FindOptions)
        if method in METHODS and method not in (field.metadata["methods"] or METHODS)
    }
    return tuple(f for f in flags if f.removeprefix("--").partition("=")[0] not in without)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredOptions(ExampleOptions):
    """The examples that importances and tickets are measured on."""

    split: str = option("", "Examples to measure and score: train of super, else dev.")
    examples: int = option(0, "Uses only the first N examples; 0 is all.", allowed=FROM_0)
    holdout_examples: int = changed(
        ExampleOptions,
        "holdout_examples",
        0,
        "Train split: examples that the model's training held out.",
    )
    train_subset: int = changed(
        ExampleOptions,
        "train_subset",
        0,
        "Train split: examples that the model was trained on, drawn by the seed.",
    )
    train_examples: int = changed(
        ExampleOptions,
        "train_examples",
        0,
        "Train split: examples that the model was trained on, the first N.",
    )
    batch_size: int = option(32, "Examples a batch.", allowed=FROM_1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportanceOptions:
    """How the importance of units is measured and made comparable."""

    units: str = _measure(
        "heads,ffn", "What to prune, with commas: heads, ffn, neurons.", list_of=str
    )
    reducer: str = _measure(
        "",
        "What importance is summed over before its absolute value; token of super, else batch.",
        ("", *importance.REDUCERS),
    )
    accumulate: bool = _measure(False, "Importances as the originals: no gradient is ever cleared.")
    normalize: str = _measure(
        "",
        "How importances are made comparable; layer of super, else layer,global.",
        ("", *NORMALIZATIONS),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LevelOptions:
    """Levels of super tickets, each a number of units to remove."""

    percents: str = _level(
        "10,20,30,40,50,60,70,80",
        "Of super: levels, percent of the heads; without any, importances are measured alone.",
        allowed=Range(at_least=0, at_most=100),
        list_of=float,
    )
    head_counts: str = _counts("Of super: heads to remove at each level instead.")
    ffn_counts: str = _counts("Of super: FFNs to remove at each level.")
    neuron_counts: str = _counts("Of super: neurons to remove at each level.")
    importance: str = _level("", "Of super: file of importances; how it was measured counts.")
    min_heads: int = _level(1, "Of super: heads that each layer keeps.", allowed=FROM_0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepOptions:
    """Steps of a search, which ends where the score falls too low."""

    threshold: float = _step(
        0.9, "Of a search: share of the whole model's score to keep.", allowed=SHARE_ABOVE_0
    )
    amount: float = _step(
        0.1, "Of a search: share of heads or weights that go in one step.", allowed=SHARE_ABOVE_0
    )
    max_steps: int = _weight(
        9, "Of magnitude: steps at most.", allowed=Range(at_least=1, at_most=10_000)
    )
    min_kept: float = _weight(
        0.0, "Of magnitude: share of the weights that stays in any case.", allowed=SHARE
    )
    of_total: bool = _weight(False, "Of magnitude: a step takes that share of all weights.")
    include: str = _weight(
        "", "Of magnitude: projections with commas, such as query,ffn_in; all.", list_of=str
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FindOptions(
    ModelDataOptions, MeasuredOptions, ImportanceOptions, LevelOptions, StepOptions, Options
):
    """Settings of `bert_tf.methods.tickets.finding.find`.

    Raises:
      ValueError: if a value is out of range.
    """

    model_dir: str = option("", "Fine-tuned BERT, dense.")
    output_dir: str = option("", "Folder for masks and importances.")
    method: str = option("super", "What to look for.", METHODS)
    seed: int = option(0, "Seed of random tickets.", allowed=SEED)

    def check_rules(self):
        """Raises ValueError where a folder is missing, or units and projections are unknown."""
        check_needed(self, "model_dir", "output_dir")
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

    @property
    def split_name(self):
        """The split that was named, or the method's; "" is the task's first dev split."""
        return self.split or ("train" if self.method == "super" else "")

    @property
    def kinds(self):
        """The names in `units`."""
        return tuple(items(self, "units"))

    @property
    def _included(self):
        return tuple(items(self, "include")) or PROJECTIONS

    def includes(self, path):
        """Returns whether weights may be removed.

        Args:
          path: of the weights, such as `blocks.0.query.kernel`.
        """
        return path.split(".")[-2] in self._included

    @property
    def reducer_name(self):
        """The reducer that was named, or the method's."""
        return self.reducer or _REDUCERS[self.method]

    def normalized(self, importance):
        """Returns importances by kind, made comparable by `normalize`.

        Args:
          importance: dict of arrays by kind.
        """
        name = self.normalize or _NORMALIZATIONS[self.method]
        for normalize in NORMALIZATIONS[name]:
            importance = {kind: normalize(scores) for kind, scores in importance.items()}
        return importance
