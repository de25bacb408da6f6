"""Loading what a stranger sends runs none of his code and imports nothing that he names."""

import json
import os
import shutil
import sys

import pytest

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.diffs import applying, task_models
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.runs import finetuning
from bert_tf.studies.speed import benchmark_subjects
from flop_tf.backend import keras
from flop_tf.files import diff_file


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Serialized objects whose loading imports `evil` from the working directory."""
    (tmp_path / "evil.py").write_text(
        "class Evil:\n"
        "    from_config = classmethod(lambda cls, config: cls())\n"
        "def run(inputs):\n"
        "    return inputs\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    inputs = keras.Input([1], name="i")
    model = keras.Model(inputs, keras.layers.Lambda(abs, name="l")(inputs))
    data = keras.saving.serialize_keras_object(model)
    function = {"module": "evil", "class_name": "function", "config": "run"}
    data["config"]["layers"][1]["config"]["function"] = {**function, "registered_name": "run"}
    yield {
        "class": {"module": "evil", "class_name": "Evil", "config": {}, "registered_name": None},
        "model": data,
    }
    sys.modules.pop("evil", None)


PLANTED = pytest.mark.parametrize("kind", ["class", "model"])


@PLANTED
def test_what_is_planted_would_be_imported(planted, kind):
    """The control: the general deserializer of Keras imports the module that the data name."""
    keras.saving.deserialize_keras_object(planted[kind])
    assert "evil" in sys.modules


def doors(bert_dir, tmp_path, planted):
    """Yields folders with a planted gate at each place of a config that has gates."""
    config = EncoderConfig.from_json_file(f"{bert_dir}/bert_config.json").to_dict()
    bare = {"num_heads": 2, "intermediate_size": 48, "projections": {}}
    for place, changes in {
        "projection": {"layers": [{**bare, "projections": {"query": {"gate": planted}}}]},
        "units": {"layers": [{**bare, "gates": {"heads": planted}}]},
        "weights": {"gates": {"word_embeddings": planted}},
    }.items():
        folder = shutil.copytree(bert_dir, tmp_path / place)
        (folder / "bert_config.json").write_text(json.dumps({**config, **changes}))
        yield str(folder)


@PLANTED
def test_a_model_directory(planted, kind, bert_dir, sst_dir, options, export, tmp_path):
    task = {"task_name": "sst-2", "data_dir": sst_dir}
    for folder in doors(bert_dir, tmp_path, planted[kind]):
        for load in (
            model_dir.load,
            read_source,
            lambda path: stages.evaluate(EvaluateOptions(path, **task)),
            lambda path: stages.factorize(FactorizeOptions(path, str(tmp_path / "factorized"))),
            lambda path: stages.remove_mask(RemoveOptions(path, str(tmp_path / "compact"))),
            lambda path: export(path, str(tmp_path / "export"), **task),
            lambda path: benchmark_subjects.find([path]),
            lambda path: finetuning.finetune(options(init_checkpoint=path)),
            lambda path: finetuning.finetune(options(teacher=path)),
        ):
            with pytest.raises(ValueError, match="A serialized gate must"):
                load(folder)
            assert "evil" not in sys.modules


@PLANTED
def test_a_foreign_folder(planted, kind, shared, bert_dir, tmp_path):
    """Of Hugging Face, and a TF1 checkpoint with such a config next to it."""
    for name, source, file in (
        ("hugging_face", shared / "data/families/bert_classes", "config.json"),
        ("google", shared / "data/bert_toy_tf1", "bert_config.json"),
    ):
        folder = shutil.copytree(source, tmp_path / name, copy_function=shutil.copyfile)
        os.chmod(folder, 0o755)
        config = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**config, "gates": {"pooler": planted[kind]}}))
        with pytest.raises(ValueError, match="gate"):
            read_source(str(folder))
        assert "evil" not in sys.modules


@PLANTED
def test_a_difference(planted, kind, bert_dir, make_diff, tmp_path):
    head = {"head": "classifier", "num_labels": 2, "gates": {"pooler": planted[kind]}}
    path = str(tmp_path / "diff")
    diff_file.write(path, make_diff(head=head))
    for load in (
        lambda: applying.apply(path, bert_dir, str(tmp_path / "out")),
        lambda: task_models.load(bert_dir, [path]),
    ):
        with pytest.raises(ValueError, match="contains unknown field 'gates' at '.head'"):
            load()
        assert "evil" not in sys.modules


@PLANTED
def test_a_report_of_an_export(planted, kind, bert_dir, tmp_path):
    config = EncoderConfig.from_json_file(f"{bert_dir}/bert_config.json").to_dict()
    report = {
        "formats": {"onnx": {"scores": {}}},
        "compared_on": "dev",
        "num_examples": 1,
        "config": {**config, "gates": {"pooler": planted[kind]}},
    }
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra/export.json").write_text(json.dumps(report))
    (tmp_path / "model.onnx").write_text("")
    with pytest.raises(ValueError, match="A serialized gate must"):
        benchmark_subjects.find([tmp_path / "model.onnx"])
    assert "evil" not in sys.modules
