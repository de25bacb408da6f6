"""Tests of bert_tf.data.batching."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.data import batch_plan, batching
from bert_tf.data.batching import EncodedExamples
from bert_tf.data.examples import Examples
from bert_tf.encoders.encoder import TASK
from bert_tf.tokenizers.tokenization import Tokenizer

PAD = 9


def encoded_of(lengths, labels=True, max_seq_length=32):
    """Examples whose tokens are their own number plus 100; the second half is segment 1."""
    ids = tf.ragged.constant([[100 + i] * n for i, n in enumerate(lengths)], tf.int32)
    segments = tf.ragged.constant([[0] * (n - n // 2) + [1] * (n // 2) for n in lengths], tf.int32)
    given = np.arange(len(lengths), dtype=np.int32) % 2 if labels else None
    return EncodedExamples(ids, segments, given, max_seq_length, PAD)


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(2, 31, size=203)


def indices_of(dataset):
    return [index.numpy().tolist() for *_, index in dataset]


@pytest.mark.parametrize("size, batch_size", [(203, 8), (200, 8), (3, 8), (1, 1)])
def test_plan_has_every_example_once(lengths, size, batch_size):
    lengths = lengths[:size]
    indices, widths = batch_plan.epoch_plan(lengths, batch_size, 32, seed=1, epoch=0)
    assert indices.shape == (-(-size // batch_size), batch_size)
    assert widths.shape == indices.shape[:1]
    assert (indices.dtype, widths.dtype) == (np.int32, np.int32)
    assert sorted(indices[indices >= 0].tolist()) == list(range(size))
    assert (indices[:-1] >= 0).all()


def test_nothing_is_tuned():
    """The thread of a tuned dataset holds up whoever ends its iterator."""
    encoded = encoded_of([2, 3])
    datasets = batching.training_dataset(encoded, 2, 0), batching.evaluation_dataset(encoded, 2)
    for dataset in datasets:
        assert dataset.options().autotune.enabled is False


def test_plan_depends_on_seed_and_epoch_alone(lengths):
    plans = {
        (seed, epoch): batch_plan.epoch_plan(lengths, 8, 32, seed, epoch)[0].tobytes()
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(plans.values())) == 4
    again = batch_plan.epoch_plan(lengths, 8, 32, 1, 1)[0]
    assert again.tobytes() == plans[1, 1]


def test_plan_batches_by_length(lengths):
    lengths = np.tile(lengths, 20)
    indices, widths = batch_plan.epoch_plan(lengths, 8, 30, seed=0, epoch=0)
    full = indices[:-1]
    assert (lengths[full].max(axis=1) - lengths[full].min(axis=1)).mean() < 1
    assert (np.diff(widths) < 0).any() and (np.diff(widths) > 0).any()
    assert set(widths.tolist()) == {8, 16, 24, 30}
    longest = np.where(indices < 0, 0, lengths[indices]).max(axis=1)
    assert ((widths >= longest) & (widths - longest < 8)).all()


def test_plan_takes_the_next_given_width(lengths):
    indices, widths = batch_plan.epoch_plan(lengths, 8, 32, 0, 0, widths=(32, 12))
    longest = np.where(indices < 0, 0, lengths[indices]).max(axis=1)
    assert widths.tolist() == [12 if n <= 12 else 32 for n in longest]


def test_features():
    (batch,) = batching.training_dataset(encoded_of([3, 5]), 2, seed=0)
    features, labels, index = batch
    order = index.numpy().tolist()
    assert sorted(features) == ["input_mask", "input_type_ids", "input_word_ids"]
    words = {0: [100] * 3 + [PAD] * 5, 1: [101] * 5 + [PAD] * 3}
    mask = {0: [1] * 3 + [0] * 5, 1: [1] * 5 + [0] * 3}
    types = {0: [0, 0, 1] + [0] * 5, 1: [0, 0, 0, 1, 1] + [0] * 3}
    for name, expected in zip(
        ("input_word_ids", "input_mask", "input_type_ids"), (words, mask, types), strict=True
    ):
        assert features[name].dtype == tf.int32
        assert features[name].numpy().tolist() == [expected[i] for i in order]
    assert labels.numpy().tolist() == [i % 2 for i in order]
    assert (labels.dtype, index.dtype) == (tf.int32, tf.int32)


@pytest.mark.parametrize("first_step", [0, 1, 25, 26, 30, 77])
def test_a_later_start_gives_the_same_batches(lengths, first_step):
    encoded = encoded_of(lengths)
    whole = indices_of(batching.training_dataset(encoded, 8, seed=3, num_steps=80))
    assert len(whole) == 80
    rest = batching.training_dataset(
        encoded, 8, seed=3, first_step=first_step, num_steps=80 - first_step
    )
    assert indices_of(rest) == whole[first_step:]


def test_default_steps_end_the_epoch(lengths):
    encoded = encoded_of(lengths)
    epochs = [batching.training_dataset(encoded, 8, 0, first) for first in (0, 20, 26)]
    assert [len(epoch) for epoch in epochs] == [26, 6, 26]
    for epoch in (epochs[0], epochs[2]):
        assert sorted(sum(indices_of(epoch), [])) == list(range(203))
    assert len(batching.training_dataset(encoded, 8, 0, num_steps=0)) == 0


def test_one_width_is_static(lengths):
    dataset = batching.training_dataset(encoded_of(lengths), 8, seed=0, widths=[32])
    assert dataset.element_spec[0]["input_mask"].shape.as_list() == [None, 32]
    assert {features["input_word_ids"].shape[1] for features, *_ in dataset} == {32}


@pytest.mark.parametrize("size", [203, 200, 5])
def test_evaluation_covers_each_once_and_can_be_undone(lengths, size):
    encoded = encoded_of(lengths[:size])
    rows, seen, widths = [], [], []
    for features, labels, index in batching.evaluation_dataset(encoded, 8):
        rows += features["input_word_ids"][:, 0].numpy().tolist()
        seen += index.numpy().tolist()
        widths.append(features["input_word_ids"].shape[1])
        np.testing.assert_array_equal(labels, encoded.labels[index.numpy()])
    assert widths == sorted(widths)
    restored = np.empty(size, np.int64)
    restored[seen] = rows
    assert restored.tolist() == [100 + i for i in range(size)]


def test_without_labels():
    dataset = batching.evaluation_dataset(encoded_of([3, 4, 5], labels=False), 2)
    assert [labels.shape.as_list() for _, labels, _ in dataset] == [[0], [0]]


def test_encode(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[UNK]\n[CLS]\n[SEP]\na\nb\n[PAD]\n")
    examples = Examples(["a b a", "b"], ["b", "b"], np.array([1.5, 2.0], np.float32), ["0", "1"])
    encoded = batching.encode(examples, Tokenizer(str(path)), max_seq_length=6)
    assert encoded.ids.to_list() == [[1, 3, 4, 2, 4, 2], [1, 4, 2, 4, 2]]
    assert encoded.lengths.tolist() == [6, 5]
    assert (len(encoded), encoded.pad_id, encoded.max_seq_length) == (2, 5, 6)
    (batch,) = batching.evaluation_dataset(encoded, 2)
    assert batch[1].numpy().tolist() == [2.0, 1.5]


def test_take():
    encoded = encoded_of([2, 3, 4])
    taken = encoded.take([2, 0])
    assert taken.ids.to_list() == [[102] * 4, [100] * 2]
    assert taken.labels.tolist() == [0, 0]


def test_holdout_splits_by_seed(lengths):
    encoded = encoded_of(lengths)
    rest, held = batching.holdout(encoded, 50, seed=0)
    numbers = [part.ids[:, :1].flat_values.numpy().tolist() for part in (rest, held)]
    assert [len(part) for part in numbers] == [153, 50]
    assert sorted(sum(numbers, [])) == [100 + i for i in range(203)]
    assert numbers[1] == sorted(numbers[1])
    again, other = (batching.holdout(encoded, 50, seed)[1] for seed in (0, 1))
    assert again.ids[:, :1].flat_values.numpy().tolist() == numbers[1]
    assert other.ids[:, :1].flat_values.numpy().tolist() != numbers[1]


def test_holdout_of_texts():
    examples = Examples(list("abcd"), None, None, list("0123"))
    rest, held = batching.holdout(examples, 1, seed=0)
    assert sorted(rest.texts_a + held.texts_a) == list("abcd")
    assert len(batching.holdout(examples, 0, seed=0)[1]) == 0


@pytest.mark.parametrize("num_examples", [-1, 3])
def test_bad_holdout(num_examples):
    with pytest.raises(ValueError, match=f"below the 3 training .* received {num_examples}"):
        batching.holdout(encoded_of([2, 3, 4]), num_examples, seed=0)


def test_bad_arguments():
    encoded = encoded_of([4, 20])
    with pytest.raises(ValueError, match=r"`widths` must reach 20, .* received \[8, 16\]"):
        batching.training_dataset(encoded, 2, seed=0, widths=(16, 8))
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 20, .* received 16"):
        batch_plan.epoch_plan([4, 20], 2, 16, 0, 0)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, received 0"):
        batching.training_dataset(encoded, 0, seed=0)
    with pytest.raises(ValueError, match="at least one example"):
        batching.evaluation_dataset(encoded.take([]), 2)


SIZES = (100, 20, 83)


@pytest.fixture
def grouped(lengths):
    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(3, dtype=np.int32), SIZES))
    return dataclasses.replace(encoded_of(lengths), groups=groups)


def test_batches_of_one_group(grouped):
    assert grouped.num_batches(8) == 13 + 3 + 11
    epochs = [list(batching.training_dataset(grouped, 8, 0, first)) for first in (0, 27)]
    orders = []
    for epoch in epochs:
        assert sorted(i for *_, index in epoch for i in index.numpy()) == list(range(203))
        for features, _, index in epoch:
            assert features[TASK].dtype == tf.int32
            np.testing.assert_array_equal(features[TASK], grouped.groups[index.numpy()])
        orders.append([int(features[TASK][0]) for features, *_ in epoch])
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    # The batches of a group do not follow each other.
    assert (np.diff(orders[0]) != 0).sum() > 8


def test_batches_of_one_group_are_of_similar_length(grouped):
    grouped = grouped.take(np.tile(np.arange(203), 20))
    indices, _ = batch_plan.epoch_plan(grouped.lengths, 8, 32, 0, 0, groups=grouped.groups)
    full = indices[(indices >= 0).all(axis=1)]
    spread = np.ptp(grouped.lengths[full], axis=1)
    assert len(indices) == 250 + 50 + 208 and spread.mean() < 1


@pytest.mark.parametrize("first_step", [1, 26, 27, 40])
def test_a_later_start_gives_the_same_batches_of_groups(grouped, first_step):
    whole = indices_of(batching.training_dataset(grouped, 8, seed=3, num_steps=60))
    rest = batching.training_dataset(
        grouped, 8, seed=3, first_step=first_step, num_steps=60 - first_step
    )
    assert indices_of(rest) == whole[first_step:]


@pytest.mark.parametrize("number", [1, 2])
def test_replicas_and_rows_that_fill_up_are_of_the_batch_s_group(grouped, number):
    whole = [int(f[TASK][0]) for f, *_ in batching.training_dataset(grouped, 7, 0, num_steps=50)]
    context = tf.distribute.InputContext(2 // number, 0, num_replicas_in_sync=2)
    dataset = batching.replica_dataset(grouped, 7, 0, 3, 47, None, context, multiple=4)
    assert dataset.element_spec[0][TASK].shape == [4]
    found = [features[TASK].numpy().tolist() for features, *_ in dataset]
    assert found == [[group] * 4 for group in np.repeat(whole[3:], number)]


@pytest.mark.parametrize("context", [None, tf.distribute.InputContext(num_replicas_in_sync=2)])
def test_evaluation_of_groups(grouped, context):
    dataset = batching.evaluation_dataset(grouped, 8, context=context)
    seen = []
    for features, _, index in dataset:
        index = index.numpy()
        seen += index[index >= 0].tolist()
        np.testing.assert_array_equal(
            features[TASK].numpy()[index >= 0], grouped.groups[index[index >= 0]]
        )
    assert sorted(seen) == list(range(203))
    assert len(dataset) == grouped.num_batches(8) * (2 if context else 1)


def test_groups_are_taken_along(grouped):
    assert grouped.take([5, 2]).groups.tolist() == grouped.groups[[5, 2]].tolist()


@pytest.mark.parametrize("of_groups", [False, True])
def test_a_batch_of_more_than_all_examples_takes_no_more_memory(grouped, of_groups):
    encoded = grouped if of_groups else dataclasses.replace(grouped, groups=None)
    whole = batching.training_dataset(encoded, len(encoded), seed=3, num_steps=6)
    large = batching.training_dataset(encoded, 10**11, seed=3, num_steps=6)
    assert indices_of(whole) == indices_of(large)
    (features, *_), *_ = batching.evaluation_dataset(encoded, 10**11)
    assert len(features["input_word_ids"]) <= len(encoded)


@pytest.mark.parametrize("num_steps", [10**9, 10**18, 1e30])
def test_a_run_whose_plan_does_not_fit_into_the_memory(lengths, num_steps):
    with pytest.raises(ValueError, match="A run must take at most 67108864 examples, received 1e"):
        batching.training_dataset(encoded_of(lengths), 8, seed=0, num_steps=num_steps)


@pytest.mark.parametrize("replicas", [1, 2])
def test_sizes_weigh_the_examples_of_a_step(lengths, replicas):
    """So that a mean over examples of means over their tokens is the mean over all tokens."""
    sizes = np.arange(len(lengths)) % 4
    encoded = dataclasses.replace(encoded_of(lengths), sizes=sizes)
    assert encoded.take([6, 3]).sizes.tolist() == [2, 3]
    context = tf.distribute.InputContext(num_replicas_in_sync=replicas)
    dataset = batching.replica_dataset(encoded, 7, 0, 0, 9, None, context, multiple=2)
    parts = [(weights.numpy(), index.numpy()) for *_, weights, index in dataset]
    for step in range(9):
        own = parts[step * replicas : (step + 1) * replicas]
        weights, index = (np.concatenate(one) for one in zip(*own, strict=True))
        assert weights.dtype == np.float32
        counted = np.where(index < 0, 0, sizes[index])
        np.testing.assert_allclose(weights, counted * len(index) / counted.sum(), rtol=1e-6)
    none = dataclasses.replace(encoded, sizes=0 * sizes)
    (batch,) = batching.replica_dataset(none, 7, 0, 0, 1, None, tf.distribute.InputContext())
    assert batch[2].numpy().tolist() == [0] * 7
