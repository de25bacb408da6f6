"""The task of embeddings: its files, what they teach, scores, and bad input."""

import dataclasses
import pathlib

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.checkpoints.source import Source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.heads.embedding import cosines
from bert_tf.runs import evaluation, finetuning
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer

SCORED = 'index\tsentence1\tsentence2\tscore\n0\tgood film\tgreat film\t5.0\n1\ta\tthe "plot\t1.0\n'
CONFIG = EncoderConfig(vocab_size=22, hidden_size=8, num_attention_heads=2)
BARE = Source(CONFIG, {"encoder.a": 1, "classifier.bias": 2}, None, None, "toy")


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"good film\r\n\r\n  a bad plot \n")
    (tmp_path / "train_more.txt").write_text("the end")
    for split in ("dev", "test"):
        (tmp_path / f"{split}.tsv").write_text(SCORED)
    return tmp_path


@pytest.fixture
def encode(vocab_file, data_dir):
    """Returns a function of a split that reads and encodes it."""

    def encode(split, training=False, **settings):
        task = registry.get("embedding", **settings)
        examples = task.read(str(data_dir), split)
        return task.encode(examples, Tokenizer(vocab_file), 8, training=training)

    return encode


def test_all_files_of_sentences_are_read(data_dir, encode):
    task = registry.get("embedding")
    examples = task.read(str(data_dir), "train")
    assert task.texts(examples) == {"text": ["good film", "a bad plot", "the end"]}
    assert examples.labels is None and examples.ids == ["0", "1", "2"]
    encoded = encode("train", training=True)
    np.testing.assert_array_equal(encoded.labels, [[-1, 0]] * 3)
    assert encoded.unit == 1 and not len(encoded.pairs)


def test_scored_pairs(data_dir, encode):
    task = registry.get("embedding")
    examples = task.read(str(data_dir), "dev")
    assert task.texts(examples)["text"] == ["good film", "great film", "a", 'the "plot']
    encoded = encode("dev")
    np.testing.assert_array_equal(encoded.labels, [[0, 1], [0, 1], [1, 0], [1, 0]])
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0.6, 0.8]], np.float32)
    scores = task.score(vectors, encoded)
    assert scores == pytest.approx({"eval_loss": 0.18, "spearmanr": 1.0, "pearson": 1.0})
    assert task.primary_metric == "spearmanr" and scores.keys() == {"eval_loss", *task.metrics}


def test_training_on_scored_pairs(data_dir, encode):
    for path in data_dir.glob("*.txt"):
        path.unlink()
    (data_dir / "train.tsv").write_text(SCORED)
    encoded = encode("train", training=True)
    assert encoded.unit == 2
    np.testing.assert_array_equal(encoded.labels[:, 1], [1, 1, 0, 0])
    # Without the column of scores they are sentences.
    encoded = encode("train", training=True, pair_columns="sentence1,sentence2")
    assert encoded.unit == 1 and (encoded.labels[:, 0] == -1).all()


def test_pairs_of_a_query_and_its_answer(data_dir, encode):
    settings = {"pair_columns": "sentence1,sentence2"}
    task, encoded = registry.get("embedding", **settings), encode("dev", **settings)
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0, 2]], np.float32)
    scores = task.score(vectors, encoded)
    assert scores["recall_at_1"] == 1.0 and task.primary_metric == "recall_at_1"
    assert scores["eval_loss"] == pytest.approx((1 - 1 / np.sqrt(1.01)) ** 2 / 2)


def test_other_files_of_ones_own(tmp_path):
    (tmp_path / "dev.csv").write_text('a,b,s\n"good, film",bad,1\n')
    (tmp_path / "test.jsonl").write_text('{"a": "good", "b": null}\n')
    task = registry.get("embedding", pair_columns=["a", "b", "s"])
    assert task.read(str(tmp_path), "dev").texts_a == ["good, film"]
    found = task.read(str(tmp_path), "test")
    assert (found.texts_b, found.labels) == ([""], None)


def test_predictions_of_a_split_without_scores(tmp_path, data_dir, encode):
    lines = (line.rpartition("\t")[0] for line in SCORED.splitlines())
    (data_dir / "test.tsv").write_text("\n".join(lines) + "\n")
    task, encoded = registry.get("embedding"), encode("test")
    assert encoded.labels is None
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0.6, 0.8]], np.float32)
    examples = task.read(str(data_dir), "test")
    task.write_predictions("test", examples, encoded, vectors, str(tmp_path / "out"))
    found = (tmp_path / "out" / "embedding.test.tsv").read_text()
    assert found == "index\tprediction\n0\t1\n1\t0.6\n"
    with pytest.raises(ValueError, match="Task 'embedding' scores pairs of texts, received none"):
        task.score(vectors, encoded)


def test_plain_data_of_the_task():
    task = registry.get("embedding", pair_columns="q,a", pooling="cls", l2_normalize=True)
    assert registry.from_dict(task.to_dict()) == task
    assert task.head == {
        "head": "embedding",
        "num_labels": 1,
        "pooling": "cls",
        "normalized": True,
    }
    assert registry.get("embedding").head == {"head": "embedding", "num_labels": 1}


def test_the_head_of_a_checkpoint_without_one():
    task = registry.get("embedding", pooling="max")
    found = task.start(dataclasses.replace(BARE, missing_head="x"), "the checkpoint 'x'")
    assert (found.config.head, found.config.pooling) == ("embedding", "max")
    assert found.weights == {"encoder.a": 1} and not found.missing_head
    own = registry.get("embedding").with_head(found, "the model")
    assert own.config.pooling == "max"
    with pytest.raises(ValueError, match="needs .*pooling='cls'.*, but the model has .*'max'"):
        registry.get("embedding", pooling="cls").with_head(found, "the model")
    sentence = "but the model does not say how its tokens become an embedding; name it by `pooling`"
    with pytest.raises(ValueError, match=sentence):
        registry.get("embedding").with_head(BARE, "the model")


def test_the_length_of_a_folder():
    task = registry.get("embedding")
    assert (task.seq_length({"max_seq_length": 24}), task.seq_length({})) == (24, 128)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"pair_columns": "a"},
            r"`pair_columns` must be two columns of texts and perhaps one of s",
        ),
        ({"pair_columns": "a,b,a"}, r"received \['a', 'b', 'a'\]"),
        ({"pair_columns": "a,b,c,d"}, r"received \['a', 'b', 'c', 'd'\]"),
        ({"pooling": "sum"}, r"`pooling` must be one of \['mean', 'cls', 'max'\], received 'sum'"),
    ],
)
def test_bad_arguments(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        registry.get("embedding", **settings)


@pytest.mark.parametrize(
    ("files", "split", "sentence"),
    [
        (
            {"train.tsv": SCORED},
            "train",
            "must have one of train.*.txt and train.tsv, received both",
        ),
        ({"train_more.txt": "\n"}, "train", "train_more.txt' is empty"),
        ({"dev.tsv": SCORED + "2\ta\tb\tc\td\n"}, "dev", "line 4"),
        ({"dev.tsv": SCORED + "2\ta\tb\thigh\n"}, "dev", "a finite number .*'high' in line 4"),
        ({"dev.tsv": "sentence1\tscore\na\t1\n"}, "dev", "sentence2"),
        ({"dev.csv": "a\n"}, "dev", "must have one of dev.tsv and dev.csv, received both"),
    ],
)
def test_bad_files(data_dir, files, split, sentence):
    for name, text in files.items():
        (data_dir / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        registry.get("embedding").read(str(data_dir), split)


def test_a_folder_without_files(tmp_path):
    sentence = r"reads its split 'train' from train\*.txt or train.tsv or .*, but the folder"
    with pytest.raises(ValueError, match=sentence):
        registry.get("embedding").read(str(tmp_path), "train")


def test_pairs_without_scores_are_texts_to_learn(data_dir, encode):
    for path in data_dir.glob("train*.txt"):
        path.unlink()
    (data_dir / "train.tsv").write_text("sentence1\tsentence2\ngood film\tthe end\na\tbad plot\n")
    encoded = encode("train", training=True)
    assert len(encoded) == 4 and (encoded.labels[:, 0] == -1).all()


def test_what_teaches_nothing(data_dir, encode):
    task = registry.get("embedding")
    encoded = encode("train", training=True)
    task.check_training(encoded, has_teacher=True)
    with pytest.raises(
        ValueError, match="from texts without scores by a `teacher` alone, received"
    ):
        task.check_training(encoded, has_teacher=False)
    examples = task.read(str(data_dir), "train")
    assert len(task.holdout(examples, 0, 0)[0]) == 3
    with pytest.raises(ValueError, match="`holdout_examples` must be 0 where single sentences are"):
        task.holdout(examples, 1, seed=0)


def test_scores_that_are_all_the_same(data_dir, encode, caplog):
    (data_dir / "dev.tsv").write_text(SCORED.replace("5.0", "1.0"))
    np.testing.assert_array_equal(encode("dev").labels[:, 1], 0)
    assert "All 2 pairs have the score 1; it counts as 0." in caplog.text


@pytest.fixture
def settings(options, data_dir):
    """Returns a function that makes options of a run on the data."""

    def make(name, **changes):
        given = {
            "task_name": "embedding",
            "data_dir": str(data_dir),
            "output_dir": str(data_dir / name),
            "train_batch_size": 7,
            "num_train_epochs": 2.0,
            "do_eval": True,
        }
        return options(**{**given, **changes})

    return make


def test_runs_by_pairs_then_by_a_teacher(settings, data_dir, encode):
    scored = data_dir / "scored"
    scored.mkdir()
    rows = [
        f"{i}\tgood{' film' * (i % 3)}\t{'bad' if i % 2 else 'good'}\t{i % 2}" for i in range(9)
    ]
    for split in ("train", "dev", "test"):
        text = "\n".join(["index\tsentence1\tsentence2\tscore", *rows])
        (scored / f"{split}.tsv").write_text(text + "\n")
    by_pairs = settings(
        "dense", data_dir=str(scored), pooling="mean", num_train_epochs=12.0, do_predict=True
    )
    losses = [finetuning.finetune(by_pairs)["dev"]["eval_loss"]]
    untrained = dataclasses.replace(
        by_pairs, do_train=False, do_predict=False, output_dir=str(data_dir / "untrained")
    )
    losses.append(finetuning.finetune(untrained)["dev"]["eval_loss"])
    assert losses[0] < 0.75 * losses[1]
    assert (data_dir / "dense" / "embedding.test.tsv").is_file()
    dense = read_source(data_dir / "dense")
    assert dense.has_head and dense.config.pooling == "mean" and dense.info["max_seq_length"] == 11

    # Sentences alone: the student moves to its teacher from other weights.
    taught = {"init_checkpoint": str(data_dir / "untrained"), "teacher": str(data_dir / "dense")}
    student = settings(
        "student",
        **taught,
        num_train_epochs=30.0,
        distill_alpha=0.5,
        distill_layers=0.5,
        do_eval=False,  # The last model is kept.
    )
    finetuning.finetune(student)
    names = ("dense", "untrained", "student")
    encoded = encode("train", training=True)
    teacher, before, after = (
        evaluation.predict(model_dir.load(data_dir / name), encoded, 4) for name in names
    )
    assert cosines(after, teacher).mean() > cosines(before, teacher).mean() + 0.05
    with pytest.raises(ValueError, match="learns from texts without scores by a `teacher` alone"):
        finetuning.finetune(settings("alone", init_checkpoint=str(data_dir / "dense")))
    assert not (data_dir / "alone" / "model.safetensors").exists()
    assert pathlib.Path(data_dir / "student" / "info.json").is_file()
    assert model_dir.load_info(data_dir / "student")["task"]["pooling"] == ""
