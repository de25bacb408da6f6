import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.heads.losses import SlicedLoss
from bert_tf.serving import services
from bert_tf.tasks import glue, model_task, multitask, registry
from bert_tf.tasks.squad import SquadTask
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

COLUMNS = {"text_columns": "first,second", "label_column": "score", "label_type": "number"}


@pytest.fixture
def glue_dir(sst_dir, pairs_dir, tmp_path):
    """A class of a text, and a number of two."""
    (tmp_path / "SST-2").symlink_to(sst_dir)
    (tmp_path / "tsv").symlink_to(pairs_dir)
    return str(tmp_path)


@pytest.fixture
def task(glue_dir):
    return registry.get_several(" sst2, tsv", data_dir=glue_dir, **COLUMNS)


@pytest.fixture
def tokenizer(vocab_file):
    return Tokenizer(vocab_file)


def test_what_it_is(task):
    assert task.names == ("SST-2", "tsv") and task.num_tasks == 2
    assert task.head == {"head": "classifier", "num_labels": 3}
    assert [task.outputs(i) for i in range(2)] == [slice(0, 2), slice(2, 3)]
    assert task.primary_metric == "mean" and "tsv/pearson" in task.metrics
    assert task.dev_splits == ("dev",) and task.index("sst_2") == 0
    assert registry.get(**task.to_dict()) == task
    found, folder = model_task.find_task({"task": task.to_dict(), "data_dir": "d"})
    assert (found, folder) == (task, "d")


def test_splits_of_all_tasks():
    task = registry.get_several("MNLI,RTE,XNLI", language="de")
    assert dict(task.splits)["dev"] == ((0, "dev_matched"), (1, "dev"), (2, "dev"))
    assert dict(task.splits)["dev_mismatched"] == ((0, "dev_mismatched"),)
    assert task.dev_splits == ("dev", "dev_mismatched")
    assert task.tasks[2].arguments == (("language", "de"),)


def test_tasks_of_tfds():
    task = registry.get_several("RTE,MNLI", tfds="glue")
    assert [dict(one.arguments)["tfds"] for one in task.tasks] == ["glue/rte", "glue/mnli"]
    assert task.folder("tfds", 0) == "tfds"
    assert registry.get(**task.to_dict()) == task
    files, _ = model_task.find_task({"task": task.to_dict()}, data_dir="glue")
    assert files == registry.get_several("RTE,MNLI") and files.folder("glue", 0) == "glue/RTE"
    again, _ = model_task.find_task({"task": files.to_dict()}, data_dir="tfds", tfds="glue")
    assert again == task


def test_another_quoting(task):
    found, _ = model_task.find_task({"task": task.to_dict()}, data_dir="glue", quoting="none")
    assert dict(found.tasks[1].arguments)["quoting"] == "none"
    assert found.tasks[0] == task.tasks[0]
    with pytest.raises(ValueError, match="`dev_file` belong to the task 'mlm', received the task"):
        model_task.find_task({"task": task.to_dict()}, data_dir="glue", dev_file="dev.txt")
    with pytest.raises(
        ValueError, match="`quoting` belong to the task 'tsv', received .*'RTE,QNLI'"
    ):
        registry.get_several("RTE,QNLI", quoting="none")


def test_examples_in_groups(task, glue_dir, tokenizer):
    examples = task.read(glue_dir, "train")
    assert len(examples) == 406
    encoded = task.encode(examples, tokenizer, 15)
    assert encoded.labels.dtype == np.float32 and encoded.labels.shape == (406, 2)
    np.testing.assert_array_equal(encoded.groups, np.repeat([0, 1], 203))
    np.testing.assert_array_equal(encoded.labels[:, 0], encoded.groups)
    for index in range(2):
        own = task.tasks[index].encode(examples.parts[index], tokenizer, 15)
        rows = np.flatnonzero(encoded.groups == index)
        assert encoded.take(rows).ids.to_list() == own.ids.to_list()
        np.testing.assert_array_equal(encoded.labels[rows, 1], own.labels)
    assert task.encode(task.read(glue_dir, "train"), tokenizer, 15).pad_id == tokenizer.pad_id


def test_parts_of_the_examples(task, glue_dir):
    examples = task.read(glue_dir, "train")
    few = task.first(examples, 7)
    assert [part.ids for part in few.parts.values()] == [[str(i) for i in range(7)]] * 2
    taken = few.take([13, 2, 6, 7])
    assert [part.ids for part in taken.parts.values()] == [["2", "6"], ["6", "0"]]
    rest, held = task.holdout(examples, 40, seed=0)
    assert [len(part) for part in held.parts.values()] == [20, 20]
    assert len(rest) + len(held) == 406
    assert not set(rest.parts[0].ids) & set(held.parts[0].ids)
    with pytest.raises(ValueError, match="below the 406 training examples, received 406"):
        task.holdout(examples, 406, seed=0)


def test_scores_are_those_of_each_task(task, glue_dir, tokenizer):
    encoded = task.encode(task.read(glue_dir, "dev"), tokenizer, 15)
    order = np.random.default_rng(0).permutation(len(encoded))
    encoded = encoded.take(order)
    logits = np.random.default_rng(1).normal(size=[len(encoded), 3])
    scores = task.score(logits, encoded)
    own = []
    for index, one in enumerate(task.tasks):
        rows = np.flatnonzero(encoded.groups == index)
        part = dataclasses.replace(
            encoded.take(rows), labels=encoded.labels[rows, 1].astype([np.int32, np.float32][index])
        )
        own.append(one.score(logits[rows][:, task.outputs(index)], part))
        assert {f"{one.name}/{k}": v for k, v in own[-1].items()}.items() <= scores.items()
    assert scores["mean"] == (own[0]["eval_accuracy"] + own[1]["pearson"]) / 2
    assert scores["eval_loss"] == pytest.approx((own[0]["eval_loss"] + own[1]["eval_loss"]) / 2)
    assert task.scores_of({"dev": scores}, 1) == {"dev": own[1]}


def test_predictions_of_each_task(task, glue_dir, tokenizer, tmp_path):
    examples = task.read(glue_dir, "test")
    encoded = task.encode(examples, tokenizer, 15)
    logits = np.arange(3.0 * len(encoded)).reshape(-1, 3)
    task.write_predictions("test", examples, encoded, logits, str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out")) == ["SST-2.tsv", "predictions.tsv"]
    lines = (tmp_path / "out" / "predictions.tsv").read_text().splitlines()
    assert len(lines) == 6 and lines[1] == f"0\t{3 * 20 + 2}"


def test_the_loss_is_that_of_the_slice():
    loss = keras.losses.deserialize(keras.losses.serialize(SlicedLoss([2, None, 3])))
    logits = tf.constant(np.random.default_rng(0).normal(size=[4, 6]), tf.float32)
    labels = tf.constant([[0, 1], [1, 2.5], [2, 2], [2, 0]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = loss.call(labels, logits)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    expected = [
        *entropy([1], logits[:1, :2]),
        (logits[1, 2] - 2.5) ** 2,
        *entropy([2, 0], logits[2:, 3:]),
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    gradient = tape.gradient(values, logits).numpy()
    for row, part in enumerate([slice(0, 2), slice(2, 3), slice(3, 6), slice(3, 6)]):
        assert (gradient[row, part] != 0).all()
        gradient[row, part] = 0
    np.testing.assert_array_equal(gradient, 0)
    assert float(loss(labels, logits)) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"names": " , "}, "`tasks` must name at least one task, received none"),
        ({"names": "RTE,rte"}, r"`tasks` must name each task once, received \['RTE', 'RTE'\]"),
        (
            {"names": "RTE,squad"},
            "`tasks` takes .* with one label an example, received 'SQuAD'; train it alone by",
        ),
        ({"names": "RTE,STS"}, "Unknown task 'STS', did you mean 'STS-B'?"),
        ({"names": "RTE,tsv"}, "Task 'tsv' needs `text_columns`"),
        ({"names": "RTE,XNLI", "tfds": "glue"}, "`tfds` must be glue for .*, received 'glue' for"),
        ({"names": "RTE", "tfds": "glue/rte"}, "`tfds` must be glue for .*, received 'glue/rte'"),
    ],
)
def test_bad_tasks(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        registry.get_several(**arguments)


def test_bad_use(task, tmp_path, tokenizer):
    with pytest.raises(ValueError, match="Unknown task 'RTE', expected one of those trained toge"):
        task.index("RTE")
    with pytest.raises(ValueError, match="need `glue_dir`, the folder with one for each"):
        task.read("", "dev")
    with pytest.raises(ValueError, match="has no split 'all', expected one of"):
        task.read("d", "all")
    with pytest.raises(ValueError, match="SST-2 reads its split 'dev' from dev.tsv, but the folde"):
        task.read(str(tmp_path / "nothing"), "dev")
    with pytest.raises(ValueError, match=r"of several tasks, here \['SST-2', 'tsv'\], is not"):
        services.get(task, tokenizer, 15)
    with pytest.raises(ValueError, match="received 'SQuAD'"):
        multitask.of([SquadTask()])


def test_masks_of_other_tasks_are_refused(task):
    gate = {"name": "switched", "config": {"axis": 2, "num_masks": 3}}
    config = EncoderConfig(9, 8, 1, 2, 12, num_labels=3)
    (layer,) = config.layers
    masked = dataclasses.replace(config, layers=(dataclasses.replace(layer, gates={"ffn": gate}),))
    task.check_head(config, "it")
    with pytest.raises(ValueError, match="needs a model of 2 masks of tasks, but it has 3; cut it"):
        task.check_head(masked, "it")
    with pytest.raises(ValueError, match="'MNLI' needs a model without masks of tasks, but it has"):
        glue.TASKS["MNLI"].check_head(masked, "it")
