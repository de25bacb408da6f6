"""Batches of texts of similar length, gathered and padded by tf.data as `batch_plan` says.

B batch, T tokens, N examples.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf.data import batch_plan
from bert_tf.encoders.encoder import TASK


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
    """Tokens and labels of N examples.

    Args:
      ids: int32 `RaggedTensor [N, (T)]`.
      segments: int32 `RaggedTensor [N, (T)]`.
      labels: `[N]`, int32 or float32, or int32 `[N, 2]` of spans or `[N, max_seq_length]` of
        tokens, or float32 `[N, C]` of several labels or numbers, or None.
      max_seq_length: the most tokens of an example.
      pad_id: the token of padding.
      groups: int32 `[N]`, which of several tasks an example is of; each batch is of one and
        has it as the feature `bert_tf.encoders.encoder.TASK`. None: there is one task.
      extra: dict of arrays `[N, ...]`, further features of each example by name.
      unit: how many examples that follow each other stay in one batch of training: 2 of pairs of
        texts that are encoded one by one. Defaults to 1.
      sizes: `[N]`, whole numbers of at least 0, for how much an example counts in the mean over a
        batch, such as its labelled tokens. None: all count the same.
    """

    ids: tf.RaggedTensor
    segments: tf.RaggedTensor
    labels: np.ndarray | None
    max_seq_length: int
    pad_id: int = 0
    groups: np.ndarray | None = None
    extra: dict = dataclasses.field(default_factory=dict)
    unit: int = 1
    sizes: np.ndarray | None = None

    def __len__(self):
        return len(self.lengths)

    @property
    def lengths(self):
        """Tokens of each example, int64 `[N]`."""
        # Not by an operation, because datasets for other processes are made inside a graph.
        return np.diff(self.ids.row_splits.numpy())

    def num_batches(self, batch_size):
        """Returns the number of batches that cover each example once.

        Args:
          batch_size: B, at least 1.
        """
        return batch_plan.num_batches(len(self), max(1, self.whole(batch_size)), self.groups)

    def whole(self, batch_size):
        """Returns how many examples a batch has: whole units, at least one, and at most N.

        Args:
          batch_size: B, at least 1.
        """
        # A larger batch would only be filled up with nothing.
        size = min(batch_size, len(self))
        return max(size // self.unit, min(size, 1)) * self.unit

    def take(self, indices):
        """Returns the examples at `indices`, in that order, each of which is a unit.

        Args:
          indices: sequence of ints.
        """
        indices = np.asarray(indices, np.int64)
        return dataclasses.replace(
            self,
            ids=tf.gather(self.ids, indices),
            segments=tf.gather(self.segments, indices),
            labels=None if self.labels is None else self.labels[indices],
            groups=None if self.groups is None else self.groups[indices],
            extra={name: values[indices] for name, values in self.extra.items()},
            unit=1,
            sizes=None if self.sizes is None else self.sizes[indices],
        )


def encode(examples, tokenizer, max_seq_length):
    """Tokenizes `bert_tf.data.examples.Examples`.

    Args:
      examples: the texts and labels.
      tokenizer: `bert_tf.tokenizers.tokenizer.TextTokenizer`.
      max_seq_length: the most tokens of an example; longer ones are cut.

    Returns:
      `EncodedExamples`.
    """
    encoded = tokenizer.encode(examples.texts_a, examples.texts_b, max_seq_length)
    return EncodedExamples(
        encoded.ids, encoded.segments, examples.labels, max_seq_length, tokenizer.pad_id
    )


def ragged(rows):
    """Returns rows of ids as one tensor, int32 `RaggedTensor [N, (T)]`.

    Args:
      rows: list of N sequences of ints, at least one.
    """
    return tf.RaggedTensor.from_row_lengths(np.concatenate(rows), [len(row) for row in rows])


def holdout(examples, num_examples, seed):
    """Splits examples at random, each part in its old order.

    Args:
      examples: `Examples` or `EncodedExamples`.
      num_examples: size of the second part, at least 0 and below `len(examples)`.
      seed: int; the same seed splits the same way.

    Returns:
      `(rest, held_out)`.

    Raises:
      ValueError: if `num_examples` is out of range.
    """
    total = len(examples)
    check_holdout(num_examples, total)
    order = np.random.default_rng(seed).permutation(total)
    held, rest = np.sort(order[:num_examples]), np.sort(order[num_examples:])
    return examples.take(rest), examples.take(held)


def check_holdout(num_examples, total):
    """Raises ValueError where so many examples cannot be held out.

    Args:
      num_examples: to hold out, int.
      total: number of training examples.
    """
    if not 0 <= num_examples < total:
        raise ValueError(
            f"Argument `holdout_examples` must be at least 0 and below the {total} training "
            f"examples, received {num_examples}."
        )


def training_dataset(encoded, batch_size, seed, first_step=0, num_steps=None, widths=None):
    """Returns batches for training, from any step on.

    Args:
      encoded: `EncodedExamples` with labels.
      batch_size: B, at least 1.
      seed: int, decides the order of every epoch.
      first_step: steps of earlier runs; counts over epochs. Defaults to 0.
      num_steps: batches to give. Defaults to the rest of the epoch.
      widths: as in `bert_tf.data.batch_plan.epoch_plan`.

    Returns:
      `tf.data.Dataset` of `(features, labels, index)`: the int32 `[B, T]`
      inputs `input_word_ids`, `input_mask` and `input_type_ids`, with groups
      the one of the batch, the labels `[B]`, and the int32 positions `[B]` in `encoded`.

    Raises:
      ValueError: if there are no examples or a width does not fit.
    """
    plan = _training_plan(encoded, batch_size, seed, first_step, num_steps, widths)
    return _dataset(encoded, *plan)


def replica_dataset(
    encoded,
    batch_size,
    seed,
    first_step,
    num_steps,
    widths,
    context,
    multiple=1,
):
    """Returns the batches of `training_dataset` as the replicas of one process take them.

    A step's batch is split evenly between the replicas; rows that fill it up have
    weight 0, and the others more than 1, so that `sum(weight * loss) / rows`,
    averaged over replicas, is the mean over the examples of the step; of examples with
    `sizes` it is weighted by these. All batches have the same number of rows.

    Args:
      encoded: see `training_dataset`; so the next five.
      batch_size: B of a step, over all replicas.
      seed: see above.
      first_step: see above.
      num_steps: see above.
      widths: see above.
      context: `tf.distribute.InputContext` of the process.
      multiple: the rows of a replica are rounded up to a multiple of it. Defaults to 1.

    Returns:
      `tf.data.Dataset` of `(features, labels, weights, index)`, one element for each
      local replica in turn, step by step; weights are float32 `[rows]`.

    Raises:
      ValueError: if there are no examples or a width does not fit.
    """
    plan = _training_plan(encoded, batch_size, seed, first_step, num_steps, widths)
    indices, *of_batches = plan
    filled = batch_plan.fill(indices, context.num_replicas_in_sync * multiple * encoded.unit)
    real = filled >= 0
    sizes = real if encoded.sizes is None else real * np.float32(encoded.sizes[filled])
    # Where no example counts, as of texts without a label, all weights are 0.
    total = np.maximum(sizes.sum(axis=1, keepdims=True), 1)
    weights = sizes * np.float32(filled.shape[1] / total)
    indices, weights = (batch_plan.part(values, context) for values in (filled, weights))
    return _dataset(encoded, indices, *_repeated(of_batches, context), True, weights)


def evaluation_dataset(encoded, batch_size, widths=None, context=None):
    """Returns batches that cover each example once, sorted by length.

    Args:
      encoded: `EncodedExamples`; without labels, those of the batches are empty, `[0]`.
      batch_size: B, at least 1.
      widths: as in `bert_tf.data.batch_plan.epoch_plan`.
      context: `tf.distribute.InputContext` of the process, whose replicas share the rows of a
        batch. With it all elements have the same number of rows; those of index -1 only fill up.
        None, the default, is one replica.

    Returns:
      `tf.data.Dataset` as of `training_dataset`, one element for each local replica in turn.

    Raises:
      ValueError: if there are no examples or a width does not fit.
    """
    size = encoded.whole(batch_size)
    indices, chosen = batch_plan.evaluation_plan(
        encoded.lengths, size, encoded.max_seq_length, widths, encoded.groups
    )
    of_batches = chosen, _groups(encoded, indices)
    if context is None:
        return _dataset(encoded, indices, *of_batches)
    filled = batch_plan.fill(indices, context.num_replicas_in_sync)
    part = batch_plan.part(filled, context)
    return _dataset(encoded, part, *_repeated(of_batches, context), True)


def _training_plan(encoded, batch_size, seed, first_step, num_steps, widths):
    """Returns the indices of batches, their widths and, as a feature, their groups."""
    longest, groups, unit = encoded.max_seq_length, encoded.groups, encoded.unit
    lengths, size = encoded.lengths.reshape(-1, unit), encoded.whole(batch_size) // unit
    units, chosen = batch_plan.training_plan(
        lengths.max(axis=1), size, longest, seed, first_step, num_steps, widths, groups
    )
    members = units[..., np.newaxis] * unit + np.arange(unit, dtype=np.int32)
    indices = np.where(units[..., np.newaxis] < 0, -1, members).reshape(len(units), size * unit)
    return indices, chosen, _groups(encoded, indices)


def _groups(encoded, indices):
    """Returns the group of each batch of a plan by its feature, or nothing."""
    # The first of a batch is always there, which does not hold for the part of a replica.
    return {} if encoded.groups is None else {TASK: encoded.groups[indices[:, 0]]}


def _repeated(of_batches, context):
    times = len(batch_plan.local_replicas(context))
    return tf.nest.map_structure(lambda values: np.repeat(values, times), of_batches)


def _dataset(encoded, indices, widths, groups, keeps_rows=False, *weights):
    """Returns the batches of a plan, gathered and padded by TensorFlow.

    Rows of index -1 are left out, or with `keeps_rows` hold any example.
    """
    labels = None if encoded.labels is None else tf.constant(encoded.labels)
    extra = {name: tf.constant(values) for name, values in encoded.extra.items()}
    static_rows = indices.shape[1] if keeps_rows else None
    static_width = int(widths[0]) if len(set(widths.tolist())) == 1 else None

    def batch(index, width, groups, *weights):
        index = index if keeps_rows else tf.boolean_mask(index, index >= 0)
        taken = tf.maximum(index, 0)
        ids = tf.gather(encoded.ids, taken)

        def padded(rows, value):
            dense = rows.to_tensor(value, shape=tf.stack([tf.constant(-1, tf.int32), width]))
            return tf.ensure_shape(dense, [static_rows, static_width])

        mask = tf.sequence_mask(ids.row_lengths(), width, tf.int32)
        features = {
            "input_word_ids": padded(ids, encoded.pad_id),
            "input_mask": tf.ensure_shape(mask, [static_rows, static_width]),
            "input_type_ids": padded(tf.gather(encoded.segments, taken), 0),
            **{name: tf.fill(tf.shape(index), group) for name, group in groups.items()},
            **{name: tf.gather(values, taken) for name, values in extra.items()},
        }
        given = tf.zeros([0], tf.int32) if labels is None else tf.gather(labels, taken)
        return features, given, *weights, index

    dataset = tf.data.Dataset.from_tensor_slices((indices, widths, groups, *weights))
    dataset = dataset.map(batch, num_parallel_calls=2).prefetch(2)
    options = tf.data.Options()
    # There is nothing to tune, and an iterator waits for the thread that does when it ends: for
    # as long as the run has lasted, up to a minute.
    options.autotune.enabled = False
    return dataset.with_options(options)
