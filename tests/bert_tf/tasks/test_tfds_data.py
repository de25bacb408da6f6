"""Published files, read by our tables and from what TFDS' own GLUE code prepares of them."""

import os
import pathlib
import shutil
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.text import glue as tfds_glue

import bert_tf
from bert_tf.data import batching
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions
from bert_tf.runs import finetuning
from bert_tf.tasks import registry, tfds_data
from bert_tf.tasks.squad_examples import SquadExamples

PAIR = "index|sentence1|sentence2"
QUESTION = "index|question|sentence"
COLA = ["gj|1||It runs.", "gj|0|*|Runs it.", "gj|1||It ran."]
ENTAILMENT = [
    f"{PAIR}|label",
    "0|A cat.|An animal.|entailment",
    '1|"A" dog.|A cat.|not_entailment',
    "2|One.|1.|entailment",
]
MNLI = [
    f"{PAIR}|gold_label",
    "0|A cat.|A dog.|contradiction",
    "1|A cat.|An animal.|entailment",
    "2|A cat.|It purrs.|neutral",
]
MRPC = [
    "Quality|#1 ID|#2 ID|#1 String|#2 String",
    "1|10|11|He agreed.|He said yes.",
    "0|20|21|A cat.|A dog.",
    "1|30|31|One.|1.",
]
TEST = [PAIR, "0|A test.|Another one.", "1|The last.|No more."]
#: The files of each data set, with | for a tab.
PUBLISHED = {
    "cola": {"train": COLA, "dev": COLA[::-1], "test": ["index|sentence", "0|A test."]},
    "sst2": {
        "train": ["sentence|label", "a good film |1", "a bad film |0", "dull |0", "warm |1"],
        "dev": ["sentence|label", "lovely |1"],
        "test": ["index|sentence", "0|a film", "1|the end"],
    },
    "qqp": {
        "train": ["id|question1|question2|is_duplicate", "7|Who?|What?|0", "8|Why?|Why so?|1"],
        "dev": ["id|question1|question2|is_duplicate", "9|How?|How much?|0"],
        "test": ["id|question1|question2", "0|Where?|Whence?"],
    },
    "stsb": {
        "train": [f"{PAIR}|score", "0|One.|1.|4.750", "1|A cat.|A dog.|0.0", "2|A.|B.|3.333"],
        "dev": [f"{PAIR}|score", "0|A cat.|Cats.|5.0"],
        "test": TEST,
    },
    "mnli": {
        "train": MNLI,
        "dev_matched": [MNLI[0], *MNLI[:0:-1]],
        "dev_mismatched": MNLI[:2],
        "test_matched": TEST,
        "test_mismatched": TEST[:2],
    },
    "qnli": {
        "train": [f"{QUESTION}|label", "0|Who?|He.|entailment", "1|Why?|It is.|not_entailment"],
        "dev": [f"{QUESTION}|label", "0|How?|Well.|entailment"],
        "test": [QUESTION, "0|Where?|Here."],
    },
    "rte": {"train": ENTAILMENT, "dev": ENTAILMENT[:2], "test": TEST},
    "wnli": {
        "train": [f"{PAIR}|label", "0|He ran.|Bob ran.|1", "1|He ran.|Jim ran.|0"],
        "dev": [f"{PAIR}|label", "0|It fell.|The cup fell.|1"],
        "test": TEST,
    },
}


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line.replace("|", "\t") + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="module")
def toy_dir(publish, tmp_path_factory, sst_dir):
    """The folder of TFDS with the toy task of conftest.py as glue/sst2."""
    folder = tmp_path_factory.mktemp("toy")
    publish("sst2", sorted(pathlib.Path(sst_dir).iterdir()))
    tfds_data.download("glue/sst2", folder)
    return str(folder)


def same(one, other):
    assert one.texts_a == other.texts_a and one.texts_b == other.texts_b
    assert (one.labels is None) == (other.labels is None)
    if one.labels is not None:
        assert one.labels.dtype == other.labels.dtype
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("config", PUBLISHED)
def test_the_same_examples(publish, tfds_dir, tmp_path, config):
    files = PUBLISHED[config]
    publish(config, [write(tmp_path / f"{split}.tsv", lines) for split, lines in files.items()])
    tfds_data.download(f"glue/{config}", tfds_dir)
    task, prepared = registry.get(config), registry.get("", tfds=f"glue/{config}")
    assert prepared.name == task.name and prepared.labels == task.labels
    assert {split for split, _ in prepared.splits} == set(files)
    for split in files:
        expected, found = task.read(tmp_path, split), prepared.read(tfds_dir, split)
        assert found.ids == [str(i) for i in range(len(expected))]
        same(found, expected)


def test_mrpc(publish, tfds_dir, tmp_path, monkeypatch):
    """TFDS takes three files from two places, the first with a byte order mark."""
    publish("mrpc", [])
    train = write(tmp_path / "msr_paraphrase_train.txt", ["\ufeff" + MRPC[0], *MRPC[1:]])
    test = write(tmp_path / "msr_paraphrase_test.txt", [MRPC[0], "0|40|41|Two.|Three."])
    ids = write(tmp_path / "dev_ids.tsv", ["20|21"])
    address = tfds_glue.Glue.builder_configs["mrpc"].data_url.removesuffix("mrpc.zip")
    for name, path in (("_MRPC_TRAIN", train), ("_MRPC_TEST", test), ("_MRPC_DEV_IDS", ids)):
        shutil.copy(path, publish.folder)
        monkeypatch.setattr(tfds_glue, name, address + path.name)
    tfds_data.download("glue/mrpc", tfds_dir)
    task, prepared = registry.get("mrpc"), registry.get("mrpc", tfds="glue/mrpc")
    same(prepared.read(tfds_dir, "train"), task.read(tmp_path, "train"))
    same(prepared.read(tfds_dir, "dev"), task.read(tmp_path, "dev"))
    assert prepared.read(tfds_dir, "train").ids == ["0", "2"]
    assert prepared.read(tfds_dir, "test").labels is None


def test_matched_mnli_has_no_train_split(publish, tfds_dir, tmp_path):
    files = {f"dev_{k}": MNLI for k in ("matched", "mismatched")}
    files |= {f"test_{k}": TEST for k in ("matched", "mismatched")}
    paths = [write(tmp_path / f"{split}.tsv", lines) for split, lines in files.items()]
    for config, split in (("mnli_matched", "dev_matched"), ("mnli_mismatched", "dev_mismatched")):
        publish(config, paths)
        tfds_data.download(f"glue/{config}", tfds_dir)
        task = registry.get("mnli", tfds=f"glue/{config}")
        same(task.read(tfds_dir, split), registry.get("mnli").read(tmp_path, split))
        sentence = rf"Task MNLI has no split 'train' in the data set 'glue/{config}', expected one"
        with pytest.raises(ValueError, match=sentence):
            task.read(tfds_dir, "train")


def test_the_diagnostic_set(publish, tfds_dir, tmp_path):
    path = write(tmp_path / "ax.zip", TEST)
    shutil.copy(path, publish.folder)  # TFDS downloads the table itself.
    tfds_data.download("glue/ax", tfds_dir)
    task = registry.get("mnli", labels=registry.get("mnli").labels, tfds="glue/ax")
    examples = task.read(tfds_dir, "test")
    assert examples.texts_a == ["A test.", "The last."] and examples.labels is None
    assert task.prediction_files == (("test", "AX.tsv"),)
    with pytest.raises(ValueError, match="has no split 'dev' in the data set 'glue/ax', expected"):
        task.expand("dev")


def test_the_same_batches(toy_dir, sst_dir, bert_dir):
    tokenizer = bert_tf.load_tokenizer(bert_dir)
    task, prepared = registry.get("sst-2"), registry.get("sst-2", tfds="glue/sst2")
    batches = []
    for read in (task.read(sst_dir, "train"), prepared.read(toy_dir, "train")):
        encoded = batching.encode(read, tokenizer, 11)
        batches.append(list(batching.training_dataset(encoded, 16, seed=3, num_steps=20)))
    assert len(batches[0]) == 20
    for (features, labels, index), (features_2, labels_2, index_2) in zip(*batches, strict=True):
        np.testing.assert_array_equal(labels, labels_2)
        np.testing.assert_array_equal(index, index_2)
        for name in features:
            np.testing.assert_array_equal(features[name], features_2[name])


SQUAD = [
    {
        "title": "Rain",
        "paragraphs": [
            {
                "context": "Rain falls. It fell on Oslo\u00a0and on Bergen.",
                "qas": [
                    {
                        "id": "b",
                        "question": "Where?",
                        "answers": [
                            {"text": "Oslo", "answer_start": 23},
                            {"text": "Bergen", "answer_start": 35},
                        ],
                    },
                    {
                        "id": "a",
                        "question": "What falls?",
                        "answers": [{"text": "Rain", "answer_start": 0}],
                    },
                ],
            },
            {
                "context": "A cat sat.",
                "qas": [
                    {
                        "id": "0",
                        "question": "Who sat?",
                        "answers": [{"text": "A cat", "answer_start": 0}],
                    }
                ],
            },
        ],
    },
    {
        "title": "Snow",
        "paragraphs": [
            {
                "context": "Snow is cold.",
                "qas": [
                    {
                        "id": "c",
                        "question": "What is cold?",
                        "answers": [{"text": "Snow", "answer_start": 0}],
                    }
                ],
            }
        ],
    },
]


def test_squad(publish, tmp_path, monkeypatch):
    """One answer, several answers and an unusual space come back from what TFDS prepared."""
    squad = sys.modules[tfds.builder_cls("squad").__module__]
    monkeypatch.setattr(squad, "_URL", publish.address)
    for split, articles in (("train", SQUAD), ("dev", SQUAD[::-1])):
        name = f"{split}-v1.1.json"
        SquadExamples(articles).write(publish.folder / name)
        SquadExamples(articles).write(tmp_path / name)
    prepared_dir = tmp_path / "tfds"
    tfds_data.download("squad", prepared_dir)
    task, prepared = registry.get("squad"), registry.get("", tfds="squad", doc_stride=7)
    assert (prepared.doc_stride, registry.get(**prepared.to_dict())) == (7, prepared)
    for split in ("train", "dev"):
        expected, found = task.read(tmp_path, split), prepared.read(prepared_dir, split)
        assert [q["id"] for _, q in expected.questions()] == ["0", "a", "b", "c"]
        assert found == expected
    with pytest.raises(ValueError, match="'squad' is not prepared in"):
        prepared.read(tmp_path / "nowhere", "dev")


def test_the_chain(toy_dir, sst_dir, options, tmp_path):
    """Later stages find the data set by what the model says of it."""
    data = {"task_name": "", "tfds": "glue/sst2", "data_dir": toy_dir}
    scores = finetuning.finetune(options(**data, num_train_epochs=0.3, do_predict=True))
    folder = str(tmp_path / "out")
    assert bert_tf.load_info(folder)["task"]["tfds"] == "glue/sst2"
    assert (tmp_path / "out" / "SST-2.tsv").read_text().startswith("index\tprediction\n0\t")
    assert stages.evaluate(EvaluateOptions(folder))["dev"] == pytest.approx(scores["dev"])
    assert stages.evaluate(EvaluateOptions(folder, data_dir=sst_dir))["dev"] == pytest.approx(
        scores["dev"]
    )
    factorized = str(tmp_path / "factorized")
    few = {"calibration_batches": 1}
    stages.factorize(
        FactorizeOptions(folder, factorized, tfds="glue/sst2", data_dir=toy_dir, **few)
    )
    info = bert_tf.load_info(factorized)
    assert info["init"] == "whitened" and info["data_dir"] == toy_dir
    with pytest.raises(ValueError, match="'glue/rte' is of the task 'RTE', received the task 'SST"):
        stages.evaluate(EvaluateOptions(folder, tfds="glue/rte", data_dir=toy_dir))


@pytest.mark.parametrize(
    ("dataset", "nearest"), [("glue/sst-2", "glue/sst2"), ("mnli_matched", "glue/mnli_matched")]
)
def test_unknown_name(dataset, nearest):
    with pytest.raises(ValueError, match=f"Unknown data set '{dataset}', did you mean '{nearest}'"):
        registry.get("", tfds=dataset)


@pytest.mark.parametrize("name", ["rte", "tsv"])
def test_another_task(name):
    with pytest.raises(ValueError, match="'glue/sst2' is of the task 'SST-2', received the task"):
        registry.get(name, tfds="glue/sst2")


def test_not_prepared(tmp_path):
    sentence = "'glue/rte' is not prepared in '.*'; name the folder .* or pass --tfds_download"
    with pytest.raises(ValueError, match=sentence):
        registry.get("rte", tfds="glue/rte").read(tmp_path, "train")
    assert not list(tmp_path.iterdir())


def test_cannot_be_downloaded(publish, tmp_path, monkeypatch):
    config = tfds_glue.Glue.builder_configs["rte"]
    monkeypatch.setattr(config, "data_url", config.data_url + ".gone")
    sentence = "'glue/rte' cannot be downloaded to '.*', check the network, or copy a prepared "
    with pytest.raises(ValueError, match=sentence + "folder there: .*404"):
        tfds_data.download("glue/rte", tmp_path)


def change(name, edit):
    return lambda folder: (folder / name).write_bytes(edit((folder / name).read_bytes()))


SHARD = "glue-train.tfrecord-00000-of-00001"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (change("dataset_info.json", lambda data: data[:9]), "Failed to load JSON"),
        (change("features.json", lambda data: b"{"), "Expecting property name"),
        (lambda folder: (folder / "dataset_info.json").unlink(), "Could not read dataset info"),
        (lambda folder: (folder / SHARD).unlink(), "No such file or directory"),
        (change(SHARD, lambda data: data[:-9]), "truncated record at"),
        (change(SHARD, lambda data: data[:99] + b"!" + data[100:]), "corrupted record at"),
        (change(SHARD, lambda data: b""), "expected to contain 203 elements"),
    ],
)
def test_damaged(toy_dir, tmp_path, damage, reason):
    shutil.copytree(f"{toy_dir}/glue", tmp_path / "glue")
    damage(tmp_path / "glue/sst2/2.0.0")
    sentence = f"^The data set 'glue/sst2' in '.*' is damaged, delete that .*: .*{reason}"
    with pytest.raises(ValueError, match=sentence):
        registry.get("", tfds="glue/sst2").read(tmp_path, "train")


@pytest.mark.parametrize("name", ["dataset_info.json", SHARD])
def test_a_fifo(toy_dir, tmp_path, name):
    shutil.copytree(f"{toy_dir}/glue", tmp_path / "glue")
    (tmp_path / "glue/sst2/2.0.0" / name).unlink()
    os.mkfifo(tmp_path / "glue/sst2/2.0.0" / name)
    with pytest.raises(ValueError, match="^The file of the data set 'glue/sst2' '.*a FIFO"):
        registry.get("", tfds="glue/sst2").read(tmp_path, "train")


def test_other_features(toy_dir, tmp_path):
    shutil.copytree(f"{toy_dir}/glue", tmp_path / "glue")
    change("features.json", lambda data: data.replace(b"sentence", b"words"))(
        tmp_path / "glue/sst2/2.0.0"
    )
    sentence = r"needs the features \['sentence'\], it has \['idx', 'label', 'words'\]"
    with pytest.raises(ValueError, match=sentence):
        registry.get("", tfds="glue/sst2").read(tmp_path, "train")


def test_the_folder_of_tfds(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tfds_data.folder("~/sets") == str(tmp_path / "sets")
    assert tfds_data.folder().endswith("tensorflow_datasets")
