"""Exports of tiny models, whole: files, signatures, equality, report, and what is refused."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  Its operations are in the graph.
from absl import logging

import bert_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.encoders.execution import Execution
from bert_tf.latency import LatencyTable
from bert_tf.latency.latency_table import TABLE_FILE
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions
from bert_tf.models.bert import BertModel
from bert_tf.runs import run_folder
from bert_tf.serving import (
    constant_folding,
    dense_comparison,
    execution_plan,
    exporting,
    formats,
    services,
    versions,
)
from bert_tf.serving.dense_comparison import DenseComparison
from bert_tf.serving.engines import ENGINES, Process, by_turns
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.onnx import Onnx
from bert_tf.serving.formats.saved_model import WARMUP_FILE, SavedModel
from bert_tf.serving.target import Target
from bert_tf.tasks import squad
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.layers.projection import ProjectionSpec

pytest.importorskip("tensorflow_serving", reason="The extra `export` is not installed.")
pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")

SQUAD = {"name": "SQuAD", "max_query_length": 4, "doc_stride": 3}
PAIRS = {
    "name": "tsv",
    "labels": None,
    "text_columns": ["first", "second"],
    "label_column": "score",
    "label_type": "number",
}


@pytest.fixture(scope="module")
def save(vocab_file, bert_dir, tmp_path_factory):
    """Saves a toy model and what differs, and returns its folder.

    It has uneven ranks and an FFN that is a bias, or no ranks: dense ones are not compared with
    another model.
    """

    def save(task=None, gate=None, head=None, dense=False, **info):
        base = {**bert_tf.load(bert_dir).config.to_dict(), "num_hidden_layers": 1}
        config = EncoderConfig.from_dict({**base, "initializer_range": 0.3, **(head or {})})
        ranks = {} if dense else {"query": 5, "ffn_in": 3, "ffn_out": 0}
        specs = {
            (i, name): ProjectionSpec(ranks[name], gate and {"name": gate, "config": {"axis": 0}})
            for i, name, *_ in config.projections()
            if name in ranks
        }
        folder = str(tmp_path_factory.mktemp("source") / "model")
        model = BertModel(config.with_projections(specs))
        model_dir.save(folder, model, Tokenizer(vocab_file), task=task, max_seq_length=11, **info)
        return folder

    return save


@pytest.fixture(scope="module")
def sst(save, sst_dir):
    return save({"name": "SST-2"}, data_dir=sst_dir)


@pytest.fixture(scope="module")
def exported(export, sst, tmp_path_factory):
    """The toy model of SST-2 in all formats."""
    out = tmp_path_factory.mktemp("export") / "toy"
    report = export(sst, str(out), format_names=list(formats.FORMATS), command="flop x")
    return out / "1", report


@pytest.fixture(scope="module")
def signatures(exported):
    """Those of the loaded SavedModel."""
    return tf.saved_model.load(str(exported[0])).signatures


def test_files(exported, vocab_file):
    folder, report = exported
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files >= {
        "saved_model.pb",
        "variables/variables.index",
        "model_float32.tflite",
        "model_float16.tflite",
        "model_int8.tflite",
        "model.onnx",
        "model_int8.onnx",
        "assets/vocab.txt",
        "assets/labels.txt",
        "assets/tokenizer.json",
        "assets.extra/tf_serving_warmup_requests",
        "assets.extra/export.json",
        "assets.extra/latency_table.tensorflow.json",
    }
    assert (folder / "assets/vocab.txt").read_text() == pathlib.Path(vocab_file).read_text()
    assert (folder / "assets/labels.txt").read_text() == "0\n1\n"
    assert json.loads((folder / "assets.extra/export.json").read_text()) == report


def test_report(exported, sst):
    _, report = exported
    assert report["model"] == sst and report["command"] == "flop x"
    assert (report["compared_on"], report["num_examples"]) == ("dev", 67)
    assert report["versions"]["tensorflow"] == tf.__version__
    assert set(report["versions"]) >= {"tf2onnx", "onnxruntime", "ai-edge-litert"}
    found = report["formats"]
    assert list(found) == list(formats.FORMATS)
    assert found["saved_model"]["largest_difference"] <= 1e-5
    for name in ("litert_float32", "onnx"):
        assert found[name]["largest_difference"] <= 1e-5
    for name, limit in (("litert_float16", 0.01), ("litert_int8", 0.25), ("onnx_int8", 0.25)):
        assert found[name]["median_difference"] <= found[name]["percentile_99"] <= limit
        assert found[name]["flips"] * 67 <= 4
    scores = stages.evaluate(EvaluateOptions(sst))["dev"]
    for name in ("saved_model", "litert_float32", "onnx"):
        assert found[name]["scores"] == pytest.approx(scores, abs=1e-5)
    assert report["scores"] == pytest.approx(scores, abs=1e-5)


def test_the_plan_and_its_speed_are_reported(exported, sst, table_file):
    folder, report = exported
    assert report["optimize_for"] == [8, 16]
    source = constant_folding.fold(bert_tf.load(sst)).config
    for name, row in report["formats"].items():
        table = LatencyTable.load(str(folder / TABLE_FILE.format(row["engine"])))
        assert table == LatencyTable.load(table_file(row["engine"]))
        plan, _ = execution_plan.choose(source, table)
        execution = Execution(**row["execution"])
        assert Plan(EncoderConfig.from_dict(row["config"]), execution) == plan
        ranks = {one["projection"]: (one["rank"], one["chosen_rank"]) for one in row["choices"]}
        assert ranks["blocks.0.query"] == (5, None if "int8" in name else 5)
        assert ranks["blocks.0.ffn_out"] == (0, 0) and "blocks.0.ffn_in" not in ranks
        quotient = row["speed"]["p50_ms"] / row["speed"]["dense_p50_ms"]
        # One is of medians, one a median.
        assert quotient / 3 < row["speed"]["ratio"] < 3 * quotient


def test_a_pruned_model_that_is_slower_is_refused(export, sst, tmp_path, monkeypatch):
    """Dense models here answer at once; ours is timed as it is."""

    def against_nothing(running, *args, **kwargs):
        seconds, _ = by_turns(running, *args, **kwargs)
        return [seconds, [turn / 1000 for turn in seconds]]

    monkeypatch.setattr(dense_comparison, "by_turns", against_nothing)
    sentence = (
        "is slower than the dense model of its config: as litert_float32 by litert .* ms against "
        ".* ms at 8x16, .* x, above 1.02; pass --allow_slower to export it all the same"
    )
    names = ["litert_float32"]
    with pytest.raises(ValueError, match=sentence):
        export(sst, str(tmp_path / "out"), format_names=names, allow_slower=False)
    assert not (tmp_path / "out").exists()
    report = export(sst, str(tmp_path / "out"), format_names=names)
    assert report["formats"]["litert_float32"]["speed"]["ratio"] > 1.02


def test_figures_of_a_refusal_tell_apart_what_is_nearly_the_same(sst, table_file):
    config = model_dir.read(sst).config
    given = config, {"onnx": LatencyTable.load(table_file())}, (1, 16), "m"
    dense = DenseComparison(*given)
    row = {"p50_ms": 0.05124, "dense_p50_ms": 0.05019, "ratio": 1.0209}
    dense.check("onnxruntime", "onnx", {**row, "ratio": 1.02})
    sentence = "by onnxruntime 0.05124 ms against 0.05019 ms at 1x16, 1.021 x, above 1.02; pass"
    with pytest.raises(ValueError, match=sentence):
        dense.check("onnxruntime", "onnx", row)
    DenseComparison(*given, True).check("onnxruntime", "onnx", row)


def test_a_slower_format_does_not_throw_away_the_others(export, sst, tmp_path, monkeypatch, caplog):
    def measure(self, paths):
        ratios = {key: 2.0 if key[1] == "onnx" else 0.5 for key in paths}
        return {k: {"p50_ms": r, "dense_p50_ms": 1.0, "ratio": r} for k, r in ratios.items()}

    monkeypatch.setattr(DenseComparison, "measure", measure)
    names = ["onnx", "litert_float32"]
    found = export(sst, str(tmp_path), format_names=names, allow_slower=False)["formats"]
    assert found["onnx"]["speed"]["ratio"] == 2.0 and "2.000 x" in found["onnx"]["left_out"]
    assert "left_out" not in found["litert_float32"]
    assert (
        not (tmp_path / "1/model.onnx").exists() and (tmp_path / "1/model_float32.tflite").exists()
    )
    assert "onnx by onnxruntime is left out. The model in" in caplog.text


def test_a_table_of_something_else(export, sst, save, table_file, tmp_path):
    """Of another machine, engine, shape or width."""

    def refuses(text, model=sst, path="", **settings):
        path = path or table_file()
        with pytest.raises(ValueError, match=f"^The latency table .*{text}.*flop-benchmark"):
            export(model, str(tmp_path / "out"), table_files=(path,), **settings)
        assert not (tmp_path / "out").exists()

    table, path = LatencyTable.load(table_file()), str(tmp_path / "table.json")
    other = {**table.environment, "device": "Abacus", "cores": 77}
    dataclasses.replace(table, environment=other).save(path)
    refuses("of the machine .*, received one of Abacus, 77 cores, ", path=path)
    refuses("of the engine onnxruntime, received one of tensorflow", engine="onnxruntime")
    refuses("of the shape 2x9, received one of 8x16", optimize_for=(2, 9))
    refuses("with hidden_size=48", save({"name": "SST-2"}, head={"hidden_size": 48}))


def test_a_dense_model_is_simply_exported(export, bert_dir, tmp_path):
    report = export(
        bert_dir, str(tmp_path), task_name="SST-2", format_names=["onnx"], allow_slower=False
    )
    assert "speed" not in report["formats"]["onnx"]


def test_ids_and_texts_give_the_answers_of_the_model(signatures, sst):
    """Variable batch and length; texts that are too long are cut as in training."""
    model, tokenizer = bert_tf.load(sst), bert_tf.load_tokenizer(sst)
    texts = ["a good film", "", "so bad " * 20, "the plot was ÜGLY and X"]
    for batch in (texts, texts[:1]):
        encoded = tokenizer.encode(batch, None, 11)
        ids = encoded.ids.to_tensor(tokenizer.pad_id)
        features = {
            "input_word_ids": ids,
            "input_mask": tf.ones_like(encoded.ids).to_tensor(),
            "input_type_ids": tf.zeros_like(ids),
        }
        logits = model(features, training=False).numpy()
        for answers in (
            signatures["serving_default"](**features),
            signatures["text"](text=tf.constant(batch)),
        ):
            assert set(answers) == {"logits", "probabilities", "label"}
            np.testing.assert_allclose(answers["logits"], logits, atol=1e-5)
            probabilities = tf.nn.softmax(logits)
            np.testing.assert_allclose(answers["probabilities"], probabilities, atol=1e-5)
            labels = [b"01"[i : i + 1] for i in logits.argmax(axis=1)]
            assert answers["label"].numpy().tolist() == labels


def test_no_texts_and_no_ids_have_no_answers(signatures):
    ids = dict.fromkeys(
        ("input_word_ids", "input_mask", "input_type_ids"), tf.zeros([0, 4], "int32")
    )
    for answers in (
        signatures["serving_default"](**ids),
        signatures["text"](text=tf.constant([], tf.string)),
    ):
        shapes = {name: tuple(array.shape) for name, array in answers.items()}
        assert shapes == {"logits": (0, 2), "probabilities": (0, 2), "label": (0,)}


def test_ids_behind_the_last_position_are_cut(signatures):
    ask = signatures["serving_default"]
    ids = tf.random.uniform([2, 40], 0, 20, tf.int32)
    long, cut = (
        ask(input_word_ids=x, input_mask=tf.ones_like(x), input_type_ids=tf.zeros_like(x))
        for x in (ids, ids[:, :16])
    )
    np.testing.assert_array_equal(long["logits"], cut["logits"])


@pytest.mark.parametrize(
    "name, value",
    [
        ("text", tf.constant([1])),
        ("text", tf.constant("a")),
        ("text", tf.constant([["a", "b"], ["c", "d"]])),
        ("sentence", None),
    ],
)
def test_a_request_of_another_form_is_refused(signatures, name, value):
    ask = signatures["text"]
    with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
        ask(**{name: tf.constant(["a"]) if value is None else value})


def test_ids_of_another_form_are_refused(signatures):
    def ask(ids=(2, 4), mask=(2, 4), types=(2, 4)):
        shapes = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}
        return signatures["serving_default"](
            **{name: tf.ones(shape, tf.int32) for name, shape in shapes.items()}
        )

    assert ask()["logits"].shape == (2, 2)
    shapes = "The inputs must have one shape"
    for wrong, sentence in (
        ({"mask": (4, 2)}, shapes),
        ({"types": (2, 3)}, shapes),
        ({"ids": (2, 4, 1)}, "shape"),
    ):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=sentence):
            ask(**wrong)


def test_any_mask_but_0_is_a_token(signatures):
    def ask(number):
        ids = tf.constant([[2, 9, 3, 0]])
        mask = tf.constant([[1, 1, 1, 0]]) * number
        inputs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": 0 * ids}
        return signatures["serving_default"](**inputs)["logits"]

    np.testing.assert_array_equal(ask(7), ask(1))


def test_saved_model_cli_names_the_signatures(exported):
    program = os.path.join(os.path.dirname(sys.executable), "saved_model_cli")
    command = [program, "show", "--dir", str(exported[0]), "--all"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("serving_default", "text", "probabilities", "label", "input_type_ids"):
        assert f"['{name}']" in done.stdout


def test_warmup_requests_can_be_answered(exported, signatures):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported[0] / "assets.extra/tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "toy"
        name = request.model_spec.signature_name
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        asked.append((name, len(signatures[name](**inputs)["label"])))
    assert asked == [(s, n) for n in (1, 8, 32) for s in ("serving_default", "text")]


def test_pairs_and_a_score(export, save, pairs_dir, tmp_path):
    folder = save(PAIRS, head={"num_labels": 1}, dense=True, data_dir=pairs_dir)
    report = export(folder, str(tmp_path), version=7, dev_examples=20)
    assert report["num_examples"] == 20 and set(report["scores"]) >= {"pearson", "mse"}
    assert not (tmp_path / "7/assets/labels.txt").exists()
    ask = tf.saved_model.load(str(tmp_path / "7")).signatures["text"]
    a, b = ["a good film", "so dull " * 9], ["the end", "the cast was warm"]
    answers = ask(text_a=tf.constant(a), text_b=tf.constant(b))
    encoded = bert_tf.load_tokenizer(folder).encode(a, b, 11)
    mask = tf.ones_like(encoded.ids).to_tensor()
    inputs = (encoded.ids.to_tensor(), mask, encoded.segments.to_tensor())
    names = ("input_word_ids", "input_mask", "input_type_ids")
    expected = bert_tf.load(folder)(dict(zip(names, inputs, strict=True)), training=False)
    assert set(answers) == {"score"}
    assert (
        ask(**dict.fromkeys(("text_a", "text_b"), tf.constant([], tf.string)))["score"].shape == 0
    )
    np.testing.assert_allclose(answers["score"], expected[:, 0], atol=1e-5)


def test_a_span_without_data(export, save, tmp_path):
    folder = save(SQUAD, head={"head": "span"}, dense=True)
    names = ["saved_model", "onnx", "litert_float32"]
    report = export(folder, str(tmp_path), format_names=names)
    assert report["compared_on"] == "random tokens" and report["scores"] == {}
    ask = tf.saved_model.load(str(tmp_path / "1")).signatures["text"]
    answers = ask(question=tf.constant(["the a the a the"]), context=tf.constant(["good " * 9]))
    tokens = "[CLS] the a the a [SEP] good good good good [SEP]".split()
    assert [token.decode() for token in answers["tokens"][0].numpy()] == tokens
    task = squad.SquadTask(max_query_length=4)
    service = services.get(task, model_dir.load_tokenizer(folder), 11)
    empty = ask(question=tf.constant([], tf.string), context=tf.constant([], tf.string))
    assert {name: len(array) for name, array in empty.items()} == dict.fromkeys(answers, 0)
    logits = service.logits({key: value.numpy() for key, value in answers.items()})
    assert logits.shape == (1, 2, 11) and set(answers) == {"start_logits", "end_logits", "tokens"}


def test_bad_input(export, save, sst, exported, bert_dir, tmp_path):
    out = str(tmp_path / "out")

    def refuses(sentence, folder=sst, output_dir=out, **arguments):
        with pytest.raises(ValueError, match=sentence):
            export(folder, output_dir, **arguments)

    refuses("The version '.*1' exists already; choose another", output_dir=exported[0].parent)
    version = {"output_dir": exported[0].parent, "overwrite": True}
    refuses("is no model directory", folder=str(exported[0]), **version)
    foreign = tmp_path / "foreign" / "1"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("years")
    refuses("is no export and is not replaced", output_dir=str(foreign.parent), overwrite=True)
    assert (foreign / "thesis.txt").exists()
    refuses("`version` must be at least 1, received 0", version=0)
    refuses("`output_dir` must name a folder, received none", output_dir="")
    refuses("`max_seq_length` must be at least 3, received 0", max_seq_length=0)
    refuses("`max_seq_length` must be at least 3, received -3", max_seq_length=-3)
    refuses("`dev_examples` must be at least 0, received -1", dev_examples=-1)
    refuses(
        r"expects names of \['saved_model', .*'onnx_int8'\], received 'tflite'",
        format_names=["tflite"],
    )
    refuses("`optimize_for` must be a batch size from 1 on .* received 0x9", optimize_for=(0, 9))
    refuses(r"a length in \[1, 16\], .* received 8x17", optimize_for=(8, 17))
    refuses("must be of the shape 2x9, received one of 8x16", optimize_for=(2, 9))
    refuses("'none.json' does not exist; flop-benchmark --table", table_files=("none.json",))
    refuses("is no model directory: expected 'info.json'", folder=str(tmp_path))
    gated = save({"name": "SST-2"}, gate="hard_concrete")
    refuses("has gates, which are not exported; remove the masks first", folder=gated)
    refuses("`task_name` is needed: .* does not say its task", folder=bert_dir)
    refuses("'STS-B' needs .*num_labels=1, but the model", folder=bert_dir, task_name="STS-B")
    other = save({"name": "SST-2"}, head={"vocab_size": 150})
    with open(f"{other}/vocab.txt", "a", encoding="utf-8") as file:
        file.writelines(f"more{i}\n" for i in range(129))
    refuses("has 151 lines, more than the 150 rows of the word embedding", folder=other)
    assert not os.path.exists(out)


def test_a_format_that_is_too_far_off_is_left_out(export, sst, tmp_path, monkeypatch, caplog):
    """Its figures are in the report, its file is not there, and the others are."""
    form = formats.FORMATS["litert_int8"]
    monkeypatch.setattr(form, "limits", Limits(percentile_99=-1.0))
    names = ["litert_int8", "saved_model", "litert_float32"]
    report = export(sst, str(tmp_path), format_names=names)
    path = tmp_path / "1"
    assert json.loads((path / versions.REPORT_FILE).read_text()) == report
    row = report["formats"]["litert_int8"]
    sentence = (
        "litert_int8 by litert_int8 is too far from its model: on 67 examples of dev 1 % of the "
    )
    assert sentence in row["left_out"] and row["percentile_99"] >= 0 and row["scores"]
    assert list(report["formats"]) == names and "speed" not in row
    assert (
        not (path / form.file).exists()
        and f"by litert_int8 is left out. {row['left_out']}" in caplog.text
    )
    for name in names[1:]:
        assert "left_out" not in report["formats"][name] and report["formats"][name]["speed"]
        assert (path / formats.FORMATS[name].file).exists()
    assert (path / "assets/vocab.txt").exists() and (path / WARMUP_FILE).exists()


def test_a_saved_model_that_is_left_out_takes_its_files_along(export, sst, tmp_path):
    class Broken(SavedModel):
        def write(self, served, folder):
            super().write(served, folder)
            pathlib.Path(folder, self.file).write_bytes(b"")

    with formats.FORMATS.temporary(saved_model=Broken()):
        report = export(sst, str(tmp_path), format_names=["saved_model", "litert_int8"])
    row = report["formats"]["saved_model"]
    assert "left_out" in row and "largest_difference" not in row and "speed" not in row
    sentence = row["left_out"]
    assert sentence.startswith("TensorFlow cannot load '") and sentence.endswith(".")
    files = {item.relative_to(tmp_path / "1").as_posix() for item in (tmp_path / "1").rglob("*")}
    assert files == {
        "assets",
        "assets/vocab.txt",
        "assets/labels.txt",
        "assets/tokenizer.json",
        "assets.extra",
        "assets.extra/export.json",
        "assets.extra/engines.md",
        "assets.extra/latency_table.litert_int8.json",
        "assets.extra/latency_table.tensorflow.json",
        "model_int8.tflite",
    }


def test_if_all_formats_are_left_out_nothing_is_written(export, sst, tmp_path, monkeypatch):
    class Broken(Onnx):
        def convert(self, served):
            raise KeyError("Einsum")

    monkeypatch.setattr(formats.FORMATS["litert_int8"], "limits", Limits(largest_difference=-1.0))
    far = (
        "The export litert_int8 by litert_int8 is too far from its model: on .* a logit differs by "
        ".*, above -1"
    )
    broken = "ONNX cannot hold the model: 'Einsum'"
    for names, sentence in (
        (["onnx"], f"^{broken}.$"),
        (["litert_int8"], f"^{far}.$"),
        (
            ["litert_int8", "onnx"],
            f"^Nothing could be exported: litert_int8: {far}; onnxruntime: {broken}.$",
        ),
    ):
        with formats.FORMATS.temporary(onnx=Broken()), pytest.raises(ValueError, match=sentence):
            export(sst, str(tmp_path / "out"), format_names=names)
        assert not (tmp_path / "out").exists()


def test_a_full_disk_is_no_reason_to_leave_a_format_out(export, sst, tmp_path, monkeypatch):
    def write(self, served, folder):
        (pathlib.Path(folder) / self.file).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Onnx, "write", write)
    with pytest.raises(OSError, match="No space left"):
        export(sst, str(tmp_path / "out"), format_names=["litert_int8", "onnx"])
    assert not (tmp_path / "out").exists()


def test_outputs_that_do_not_follow_from_the_logits_are_refused(export, sst, tmp_path, monkeypatch):
    ask = Process.answers

    def wrong(self, requests):
        answers = ask(self, requests)
        return [{**one, "probabilities": 1 - one["probabilities"]} for one in answers]

    monkeypatch.setattr(Process, "answers", wrong)
    with pytest.raises(
        ValueError,
        match="The export onnx by onnxruntime must give .*, but probabilities on dev are ",
    ):
        export(sst, str(tmp_path / "out"), format_names=["onnx"])
    assert not (tmp_path / "out").exists()


def test_the_same_command_is_done(export, sst, tmp_path):
    """Another command's version is not touched, and one that does not say its command neither."""
    settings = {"format_names": ["litert_int8"], "command_flags": "--a=1\n"}
    assert export(sst, str(tmp_path), **settings)["formats"]
    assert (tmp_path / "1/run.flags").read_text() == "--a=1\n"
    made = (tmp_path / "1").stat().st_mtime_ns
    assert export(sst, str(tmp_path), **settings) is None
    for flags in ("--a=2\n", ""):
        with pytest.raises(ValueError, match="'.*1' exists already; choose another"):
            export(sst, str(tmp_path), **{**settings, "command_flags": flags})
    assert (tmp_path / "1").stat().st_mtime_ns == made
    assert export(sst, str(tmp_path), **settings, overwrite=True)["formats"]
    assert export(sst, str(tmp_path), **settings, version=2)["formats"]
    (tmp_path / "1" / versions.REPORT_FILE).unlink()
    with pytest.raises(ValueError, match="exists already"):
        export(sst, str(tmp_path), **settings)


def test_the_head_of_another_task_is_not_served(export, save, tmp_path):
    folder = save({"name": "SST-2"}, head={"head": "mlm", "num_labels": 1})
    sentence = "Task 'SST-2' needs head='classifier'.*, but the model in .* has head='mlm'"
    with pytest.raises(ValueError, match=sentence):
        export(folder, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("with_data", [False, True])
def test_masked_words(export, save, tmp_path, with_data, sst_dir):
    """Ids of texts with `[MASK]` in them to the words of the vocabulary at every place."""
    if with_data:
        vocab = tmp_path / "vocab.txt"
        vocab.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcde"]))
        (tmp_path / "dev.txt").write_text("a b c d e a b\nc d e\n" * 20)
    folder = save({"name": "mlm"}, head={"head": "mlm", "num_labels": 1}, dense=True)
    model = bert_tf.load(folder)
    if with_data:
        config = dataclasses.replace(model.config, vocab_size=10)
        model_dir.save(
            folder,
            BertModel(config),
            Tokenizer(str(vocab)),
            task={"name": "mlm"},
            data_dir=str(tmp_path),
            max_seq_length=11,
        )
        model = bert_tf.load(folder)
    out = str(tmp_path / "out")
    report = export(folder, out, format_names=["saved_model", "onnx"])
    assert report["compared_on"] == ("dev" if with_data else "random tokens")
    scores = report["formats"]["onnx"]["scores"]
    assert ("log_likelihood" in scores) is with_data
    served = tf.saved_model.load(f"{out}/1").signatures
    ids = np.array([[2, 4, 5, 3], [2, 6, 3, 0]], np.int32)
    inputs = dict(
        zip(INPUT_NAMES, map(tf.constant, (ids, np.int32(ids > 0), 0 * ids)), strict=True)
    )
    answers = served["serving_default"](**inputs)
    logits = model(inputs, training=False)
    np.testing.assert_allclose(answers["logits"], logits, atol=1e-5)
    words = bert_tf.load_tokenizer(folder).vocab
    best = [[words[i] for i in row] for row in np.argmax(logits[..., : len(words)], axis=-1)]
    assert [[word.decode() for word in row] for row in answers["words"].numpy()] == best
    of_texts = served["text"](text=tf.constant(["a b"]))
    assert set(of_texts) == {"logits", "words", "tokens"}
    assert of_texts["tokens"].shape == of_texts["words"].shape == (1, 4)


def test_a_version_is_replaced_on_demand(export, sst, tmp_path):
    (tmp_path / "1/assets.extra").mkdir(parents=True)
    (tmp_path / "1/assets.extra/export.json").write_text("{}")
    (tmp_path / "1/model.onnx").write_text("old")
    export(sst, str(tmp_path), format_names=["litert_int8"], overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert files == ["assets", "assets.extra", "model_int8.tflite"]


def test_what_killed_exports_have_left_goes(export, bert_dir, tmp_path):
    """Of versions that another process writes, nothing is touched."""
    for version in ("1", "2", "3"):
        (tmp_path / f".{version}.partial-abcdefgh").mkdir()
    (tmp_path / ".model.partial-abcdefgh").mkdir()  # Of another program.
    (tmp_path / ".1.lock").write_text("")
    with run_folder.locked(tmp_path / "3"):
        with pytest.raises(ValueError, match="'.*3' is in use by process .*; wait until it ends"):
            export(bert_dir, str(tmp_path), version=3, task_name="SST-2")
        export(bert_dir, str(tmp_path), task_name="SST-2", format_names=["litert_float32"])
        left = {".3.partial-abcdefgh", ".model.partial-abcdefgh"}
        assert {path.name for path in tmp_path.iterdir()} == {"1", ".3.lock", *left}


@pytest.fixture
def informed(caplog):
    """What is logged; LiteRT's converter sets the level back to the one that Abseil knows."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    yield caplog
    logging.set_verbosity(verbosity)


def test_every_engine_at_hand(export, sst, tmp_path, informed):
    """Each is checked and timed next to its dense model; the table names the fastest."""
    report = export(sst, str(tmp_path), engine="auto")
    names = [row["engine"] for row in report["engines"]]
    at_hand = [name for name, one in ENGINES.items() if one.is_installed]
    assert names == [name for name in at_hand if ENGINES[name].formats[0] in formats.FORMATS]
    for row in report["engines"]:
        assert "left_out" not in row and row["speed"]["ratio"] > 0 and row["file_bytes"] > 0
    fastest = min(report["engines"], key=lambda row: row["speed"]["p50_ms"])
    best = {"engine": fastest["engine"], "format": fastest["format"]}
    assert report["fastest"] == {**best, "p50_ms": fastest["speed"]["p50_ms"]}
    assert report["formats"].keys() == {row["format"] for row in report["engines"]}
    table = (tmp_path / "1" / exporting.ENGINES_FILE).read_text()
    assert table.count("\n") == 2 + len(names)
    assert any(message.endswith(f"\n{table.strip()}") for message in informed.messages)
    header, _, *lines = [[cell.strip() for cell in x.split("|")[1:-1]] for x in table.splitlines()]
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    best = min(row["speed"]["dense_p50_ms"] for row in report["engines"])
    for shown, row in zip(rows, report["engines"], strict=True):
        assert shown["/ fastest dense"] == f"{row['speed']['p50_ms'] / best:.3f}"
    assert f"The fastest is {fastest['format']} by {fastest['engine']}, " in informed.text


def test_one_engine(export, bert_dir, tmp_path):
    report = export(bert_dir, str(tmp_path), engine="onnxruntime", task_name="SST-2")
    assert [(row["engine"], row["format"]) for row in report["engines"]] == [
        ("onnxruntime", "onnx")
    ]
    with pytest.raises(ValueError, match="Unknown engine 'onxruntime', did you mean 'onnxruntime'"):
        export(bert_dir, str(tmp_path / "2"), engine="onxruntime", task_name="SST-2")


def test_an_engine_that_is_not_installed_names_its_extra(export, bert_dir, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: n != "openvino" and find(n) or None)
    sentence = r"needs the package 'openvino', .*; run pip install 'flop-tf\[openvino\]'"
    with pytest.raises(ValueError, match=sentence):
        export(bert_dir, str(tmp_path / "out"), engine="openvino", task_name="SST-2")
    assert "openvino" not in dict(Target(engine="auto").chosen())
    assert not (tmp_path / "out").exists()


def test_an_engine_that_cannot_run_the_shape_is_left_out(export, sst, tmp_path, monkeypatch):
    turn = Process.turn

    def broken(self, request, *args, **kwargs):
        if self._title == "LiteRT":
            raise ValueError("It cannot be run.")
        return turn(self, request, *args, **kwargs)

    monkeypatch.setattr(Process, "turn", broken)
    report = export(sst, str(tmp_path), format_names=["litert_float32", "onnx"])
    row = report["formats"]["litert_float32"]
    assert row["left_out"] == "It cannot be run." and row["largest_difference"] < 1e-4
    assert not (tmp_path / "1/model_float32.tflite").exists()
    assert (
        report["formats"]["onnx"]["speed"]["ratio"] > 0
        and report["fastest"]["engine"] == "onnxruntime"
    )
