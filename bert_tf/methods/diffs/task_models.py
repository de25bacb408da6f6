"""Several tasks on one loaded BERT, each with its difference and its slice of one task head."""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf.checkpoints import Source, read_source
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.heads.head import HEADS
from bert_tf.methods.diffs import applying, base_model
from bert_tf.models.bert import BertModel
from bert_tf.tasks import registry
from flop_tf import surgery
from flop_tf.diffs.diff_switching import SwitchedDiffs
from flop_tf.files import diff_file


@dataclasses.dataclass(frozen=True)
class SharedBase:
    """A BERT with the heads of several tasks side by side, and their differences.

    Attributes:
      model: the BERT of the base, its head that of all tasks.
      source: the `bert_tf.checkpoints.Source` of the base.
      diffs: dict of `flop_tf.files.diff_file.Diff` by the name of the task.
      outputs: dict of slices of the logits by the name of the task.
    """

    model: BertModel
    source: Source
    diffs: dict
    outputs: dict

    def task(self, name):
        """Returns the `bert_tf.tasks.task.Task` of a name.

        Args:
          name: of the task.
        """
        return registry.from_dict(self.diffs[name].info["task"])


def load(base, paths):
    """Loads a base with the heads of several tasks.

    Args:
      base: a BERT of any format.
      paths: of differences, see `bert_tf.methods.diffs.applying.read`; each of another task.

    Returns:
      A `SharedBase`.

    Raises:
      ValueError: if a difference is damaged, of another base or without a head, tasks repeat, or
        their heads are of different kinds.
    """
    source = read_source(base)
    weights = base_model.base_weights(source)
    diffs = {}
    for path in paths:
        diff, file = applying.read(path)
        diff_file.check_base(diff, weights, file)
        base_model.check_head(diff, file, source.config)
        name = diff.info["task"]["name"]
        if name in diffs:
            raise ValueError(f"Each task must have one difference, received two of {name!r}.")
        diffs[name] = diff
    if not diffs:
        raise ValueError("Argument `paths` must name differences, received none.")
    head = _head(diffs, source.config)
    sizes = [diff.info["head"]["num_labels"] for diff in diffs.values()]
    ends = np.cumsum(sizes)
    outputs = {
        name: slice(int(end - size), int(end))
        for name, size, end in zip(diffs, sizes, ends, strict=True)
    }
    joined = {
        path: np.concatenate([diff.dense[path] for diff in diffs.values()], axis=-1)
        for path in head.output_paths
    }
    config = dataclasses.replace(source.config, head=head.name, num_labels=int(ends[-1]))
    together = dataclasses.replace(source, config=config, weights={**weights, **joined})
    return SharedBase(together.model(), source, diffs, outputs)


class TaskModels:
    """Answers batches of several tasks with one loaded BERT, switched where the task changes.

    Args:
      base: a BERT of any format.
      paths: of differences, see `load`.

    Raises:
      ValueError: as `load`.
    """

    def __init__(self, base, paths):
        shared = load(base, paths)
        self.names = tuple(shared.diffs)
        self._outputs, self._head = shared.outputs, shared.model.head
        variables = surgery.named_variables(shared.model)
        self._switched = SwitchedDiffs(variables, shared.diffs)
        signature = {name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES}
        self._logits = tf.function(
            lambda features: shared.model(features, training=False), input_signature=[signature]
        )

    def logits(self, task, features):
        """Returns the logits of a batch: `[B, C]`, `[B, 2, T]` of a span, `[B, T, C]` of tokens.

        Args:
          task: its name.
          features: dict of int32 `[B, T]` by `INPUT_NAMES`.

        Raises:
          ValueError: if there is no such task.
        """
        self._switched.switch(task)
        features = {name: features[name] for name in INPUT_NAMES}
        return self._head.of_outputs(self._logits(features), self._outputs[task])


def _head(diffs, config):
    """Returns the `Head` of the kind that all tasks have, whose weights each have the outputs."""
    kinds = {diff.info["head"]["head"]: name for name, diff in diffs.items()}
    if len(kinds) > 1:
        raise ValueError(
            "Tasks on one base must have heads of one kind, received "
            f"{' and '.join(f'{kind} of {name}' for kind, name in kinds.items())}."
        )
    (kind,) = kinds
    head = HEADS[kind](config)
    if shared := sorted(set(head.weights) - set(head.output_paths)):
        raise ValueError(
            f"Tasks on one base must have heads whose weights belong to one output each, but those "
            f"of {kind!r} share {', '.join(shared)}."
        )
    for name, diff in diffs.items():
        if others := diff.dense.keys() - set(head.weights):
            raise ValueError(
                f"The base of several tasks must have a pooler of its own, but that of {name!r} is "
                f"stored with its task: {', '.join(sorted(others))}."
            )
    return head
