"""A task that this file alone defines goes through the whole chain."""

import dataclasses
import json
import os

import numpy as np
import pytest

import bert_tf
from bert_tf.data.examples import Examples
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.option_fields import option
from bert_tf.ranges import FROM_1
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.tasks import registry
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.text_task import TextTask


@dataclasses.dataclass(frozen=True)
class Lines:
    """A file with a line for each text, `LABEL: text`."""

    file: str

    def exists(self, data_dir):
        return os.path.isfile(os.path.join(data_dir, self.file))

    def read(self, data_dir):
        with open(os.path.join(data_dir, self.file), encoding="utf-8") as file:
            return [line.rstrip("\n").split(": ") for line in file]


@dataclasses.dataclass(frozen=True)
class VolumeTask(TextTask):
    """Calm or loud texts, read from lines and scored by the share of loud answers too."""

    metrics = ("eval_accuracy", "share_loud")
    num_texts = 1

    def read(self, data_dir, split):
        marks = "!" * dict(self.arguments)["num_marks"]
        labels, texts = zip(*self.source(data_dir, split).read(data_dir), strict=True)
        classes = np.array([self.labels.index(label) for label in labels], np.int32)
        texts = [text + marks * int(label) for text, label in zip(texts, classes, strict=True)]
        return Examples(texts, None, classes, [str(i) for i in range(len(texts))])

    def score(self, logits, encoded):
        scores = super().score(logits, encoded)
        return {**scores, "share_loud": float(logits.argmax(axis=1).mean())}


@dataclasses.dataclass(frozen=True)
class VolumeOptions:
    """The options of the task."""

    num_marks: int = option(1, "Task volume: marks after a loud text.", allowed=FROM_1)


def volume(settings, data_dir, labels):
    """Returns the task."""
    return VolumeTask(
        name="Volume",
        splits=(("train", (Lines("train.txt"),)), ("dev", (Lines("dev.txt"),))),
        labels=("calm", "loud"),
        arguments=(("num_marks", settings.num_marks),),
    )


@pytest.fixture(scope="module", autouse=True)
def known():
    """The task, which is unknown again afterwards."""
    with registry.TASKS.temporary():
        register_task("Volume", VolumeOptions)(volume)
        yield


@pytest.fixture
def volume_dir(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    lines = "calm: a good film\nloud: a bad film\n"
    (folder / "train.txt").write_text(8 * lines)
    (folder / "dev.txt").write_text(2 * lines)
    return str(folder)


def test_its_name_and_options():
    assert registry.get("volume") == registry.get("VOLUME", num_marks=1)
    three = registry.get("volume", num_marks=3)
    assert registry.from_dict(json.loads(json.dumps(three.to_dict()))) == three
    with pytest.raises(ValueError, match="Unknown task 'volum', did you mean 'Volume'?"):
        registry.get("volum")
    with pytest.raises(
        ValueError,
        match="`num_marks` belongs to the task 'Volume', received the task 'RTE'",
    ):
        registry.get("rte", num_marks=3)
    with pytest.raises(ValueError, match="The task of the model must be one .*num_marks"):
        registry.from_dict({"name": "Volume", "num_marks": "many"})


def test_it_is_one_of_several(volume_dir, tmp_path):
    os.rename(volume_dir, tmp_path / "Volume")
    both = registry.get_several("Volume,RTE", num_marks=2)
    assert both.tasks == (registry.get("Volume", num_marks=2), registry.get("RTE"))
    assert len(both.tasks[0].read(both.folder(str(tmp_path), 0), "dev")) == 4


def test_the_chain(bert_dir, volume_dir, export, tmp_path):
    data = {"task_name": "volume", "data_dir": volume_dir, "max_seq_length": 8}
    factors, pruned, compact = (str(tmp_path / name) for name in ("factors", "pruned", "compact"))
    stages.factorize(FactorizeOptions(bert_dir, factors, calibration_batches=1, **data))
    assert bert_tf.load_info(factors)["init"] == "whitened"
    scores = finetuning.finetune(
        FinetuneOptions(
            init_checkpoint=factors,
            output_dir=pruned,
            target_sparsity=0.3,
            num_train_epochs=4.0,
            train_batch_size=4,
            gate_order_examples=8,
            **data,
        )
    )
    assert set(scores["dev"]) >= {"share_loud", "eval_accuracy"}
    stages.remove_mask(RemoveOptions(pruned, compact))
    assert bert_tf.load_info(compact)["task"]["name"] == "Volume"
    again = stages.evaluate(EvaluateOptions(compact))["dev"]
    assert again == pytest.approx(scores["dev"], abs=1e-4)
    report = export(compact, str(tmp_path / "served"))
    assert report["task"]["name"] == "Volume" and os.path.isdir(tmp_path / "served" / "1")
