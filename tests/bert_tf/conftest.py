"""A BERT and tasks small enough to train in seconds."""

import dataclasses
import json
import random

import latency_tables
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from tensorflow.python.eager import context

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.bert import Bert
from bert_tf.families.names import per_block
from bert_tf.latency import terms
from bert_tf.methods.diffs import base_model
from bert_tf.methods.diffs.diff_store import save
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import expected_shapes
from bert_tf.runs.options import FinetuneOptions
from bert_tf.serving import exporting
from bert_tf.serving.servable import ServedTask
from bert_tf.serving.target import Target
from bert_tf.serving.versions import Version
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras
from flop_tf.files import tensor_file
from flop_tf.files.diff_file import Diff

WORDS = {
    "1": ["good", "great", "lovely", "warm"],
    "0": ["bad", "dull", "ugly", "cold"],
    "": ["the", "a", "film", "plot", "was", "and", "very", "so", "end", "cast"],
}
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(word for words in WORDS.values() for word in words)]
TINY = EncoderConfig(
    vocab_size=len(VOCAB),
    hidden_size=32,
    num_hidden_layers=1,  # Each block costs every test seconds until its graph is made.
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=16,
    initializer_range=0.1,
)
# Keys that only configs of ours have.
_OURS = ("head", "num_labels")
# Outputs of the tasks of differences.
HEADS = {"sst-2": 2, "qnli": 2, "sts-b": 1, "mnli": 3}


@pytest.fixture(scope="session")
def vocab_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def bert_dir(tmp_path_factory, vocab_file):
    """A model directory of a BERT that has learned nothing yet."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("bert")
    model_dir.save(folder, BertModel(TINY), Tokenizer(vocab_file))
    return str(folder)


@pytest.fixture
def hugging_face_folder(tmp_path):
    """Returns a function that writes a folder as `transformers` does, and returns its path.

    Args of the function: names of our weights that are left out, and keys of `config.json`.
    """

    def write(without=(), tokenizer=None, **config):
        folder = tmp_path / "theirs"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        labels = config.get("id2label", {0: "LABEL_0", 1: "LABEL_1"})
        shapes = expected_shapes(EncoderConfig(**{**vars(TINY), "num_labels": len(labels)}))
        table = per_block(Bert.names["hugging_face"].table, TINY.num_hidden_layers)
        arrays = {}
        for path in sorted(set(shapes) - set(without)):
            array = 0.3 * rng.normal(size=shapes[path]) + path.endswith("gamma")
            array = table[path].transform(array.astype(np.float32))
            prefix = "" if path.startswith("classifier") else "bert."
            arrays[prefix + table[path].name] = np.ascontiguousarray(array)
        safetensors.numpy.save_file(arrays, folder / "model.safetensors")
        sizes = {key: value for key, value in TINY.to_dict().items() if key not in _OURS}
        about = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
        (folder / "config.json").write_text(json.dumps({**sizes, **about, **config}))
        (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
        settings = {"do_lower_case": True} if tokenizer is None else tokenizer
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return write


@pytest.fixture(scope="session")
def table_file(tmp_path_factory):
    """Writes a latency table of the shape that an export of `TINY` is optimized for.

    Args of the function: name of the engine, default "tensorflow". Its seconds are made up; in
    integers no factors are worth it.
    """
    folder = tmp_path_factory.mktemp("tables")

    def write(engine="tensorflow"):
        seconds = {(terms.FACTORS, 0): 1e-3} if engine.endswith("int8") else {}
        return latency_tables.write(folder, engine, seconds, head_size=TINY.head_size)

    return write


@pytest.fixture(scope="session")
def export(table_file):
    """Exports by a table that exists, and what differs; toys may be slower than dense ones.

    Args of the function: model directory, folder of the versions, number of the version, and fields
    of `Version`, `Target` and `ServedTask` by name.
    """

    def export(folder, output_dir, version=1, **settings):
        settings = {"allow_slower": True, **settings}
        parts = [
            {field.name: settings.pop(field.name) for field in fields if field.name in settings}
            for fields in map(dataclasses.fields, (Version, Target, ServedTask))
        ]
        assert not settings
        command, target, served = parts
        if "table_files" not in target:
            planned_for = {form: engine for engine, form in reversed(Target(**target).chosen())}
            target["table_files"] = tuple(map(table_file, set(planned_for.values())))
        version = Version(output_dir, version, **command)
        return exporting.export(folder, version, Target(**target), ServedTask(**served))

    return export


@pytest.fixture(scope="session")
def sst_dir(tmp_path_factory):
    """SST-2's layout: a sentence says its label by one or two of its words."""
    folder = tmp_path_factory.mktemp("sst")
    rng = random.Random(0)
    rows = [_sentence(rng) for _ in range(290)]
    for split, part in (("train", rows[:203]), ("dev", rows[203:270])):
        lines = ["sentence\tlabel", *("\t".join(row) for row in part)]
        _write(folder / f"{split}.tsv", lines)
    _write(
        folder / "test.tsv",
        ["index\tsentence", *(f"{i}\t{text}" for i, (text, _) in enumerate(rows[270:]))],
    )
    return str(folder)


@pytest.fixture(scope="session")
def pairs_dir(tmp_path_factory):
    """Pairs of texts as a table of one's own; the score counts the good words of both."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = random.Random(1)
    for split, size in (("train", 203), ("dev", 67), ("test", 5)):
        lines = ["first\tscore\tsecond"]
        for _ in range(size):
            one, two = _sentence(rng), _sentence(rng)
            score = (one[1] + two[1]).count("1") - 1
            lines.append(f"{one[0]}\t{score}.0\t{two[0]}")
        _write(folder / f"{split}.tsv", lines)
    return str(folder)


@pytest.fixture
def options(bert_dir, sst_dir, tmp_path):
    """Returns a function that makes `FinetuneOptions` of the toy task from what differs."""

    def make(**changes):
        settings = {
            "task_name": "sst-2",
            "data_dir": sst_dir,
            "init_checkpoint": bert_dir,
            "output_dir": str(tmp_path / "out"),
            "max_seq_length": 11,
            "train_batch_size": 16,
            "learning_rate": 3e-3,
            "num_train_epochs": 6.0,
            "length_buckets": "11",
        }
        return FinetuneOptions(**{**settings, **changes})

    return make


@pytest.fixture(scope="session")
def make_diff(bert_dir):
    """Returns a function that makes a difference of a task with random entries."""

    def make(name="sst-2", entries_seed=0, density=0.05, **info):
        rng = np.random.default_rng(entries_seed)
        base = base_model.base_weights(read_source(bert_dir))
        positions = {n: np.flatnonzero(rng.random(a.size) < density) for n, a in base.items()}
        labels = HEADS[name]
        kernel = np.float32(rng.normal(size=[32, labels]))
        dense = {"classifier.kernel": kernel, "classifier.bias": np.zeros(labels, np.float32)}
        known = {
            "task": registry.get(name).to_dict(),
            "head": {"head": "classifier", "num_labels": labels},
            "max_seq_length": 11,
        }
        return Diff(
            base=tensor_file.fingerprint(base),
            shapes={n: a.shape for n, a in base.items()},
            positions=positions,
            values={n: np.float32(rng.normal(size=len(p))) for n, p in positions.items()},
            dense=dense,
            info={**known, **info},
        )

    return make


@pytest.fixture(scope="session")
def diff_dirs(make_diff, tmp_path_factory):
    """Folders with a difference each, by task."""
    folder = tmp_path_factory.mktemp("diffs")
    for seed, name in enumerate(("sst-2", "sts-b", "mnli")):
        save(str(folder / name), make_diff(name, seed), "float32")
    return {name: str(folder / name) for name in ("sst-2", "sts-b", "mnli")}


def _sentence(rng):
    label = rng.choice("01")
    words = [rng.choice(WORDS[""]) for _ in range(rng.randint(1, 5))]
    for _ in range(rng.randint(1, 2)):
        words.insert(rng.randint(0, len(words)), rng.choice(WORDS[label]))
    return " ".join(words), label


def _write(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def optimized_operations():
    """A function from a call to the types of the operations that TensorFlow runs for it."""

    def run(call):
        context.context().enable_run_metadata()
        try:
            # What was compiled since the last use is handed out first, though it was off meanwhile.
            tf.function(tf.identity)(0)
            context.context().export_run_metadata()
            call()
            metadata = context.context().export_run_metadata()
        finally:
            context.context().disable_run_metadata()
        return [node.op for graph in metadata.partition_graphs for node in graph.node]

    return run
