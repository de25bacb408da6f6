"""The three stages on a tiny BERT, whole, and what is refused."""

import dataclasses
import math
import os
import pathlib
import shutil

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.diffs import base_model, diff_stages
from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.models import weight_paths
from bert_tf.runs import evaluation
from bert_tf.tasks import registry
from flop_tf.files import diff_file

SHORT = {
    "max_seq_length": 11,
    "length_buckets": "11",
    "train_batch_size": 32,
    "num_train_epochs": 2.0,
    "finetune_epochs": 1.0,
    "learning_rate": 3e-3,
    "finetune_learning_rate": 3e-3,
    "target_density": 0.05,
}


@pytest.fixture(scope="module")
def make(bert_dir, sst_dir, tmp_path_factory):
    """Returns a function that makes `DiffOptions` of the toy task from what differs."""
    folder = tmp_path_factory.mktemp("diffs")

    def make(name, **changes):
        settings = {"task_name": "sst-2", "data_dir": sst_dir, "init_checkpoint": bert_dir}
        return DiffOptions(**{**settings, **SHORT, "output_dir": str(folder / name), **changes})

    return make


def run_all(options, **of_finetuning):
    found = {}
    for stage in diff_stages.stages_of("all", options.method):
        if stage == "finetune":
            options = dataclasses.replace(options, **of_finetuning)
        folder = diff_stages.folder_of(options.output_dir, stage, options)
        diff_stages.run(stage, options, folder)
        found[stage] = diff_file.read(os.path.join(folder, "diff.safetensors"))
    return found


@pytest.fixture(scope="module")
def learned(make):
    """A difference whose gates are to close for lack of use, and its options."""
    options = make("diff", do_predict=True, alpha_learning_rate=0.5, sparsity_penalty=1e-7)
    return options, run_all(options)


def test_each_stage_has_less(learned, bert_dir):
    options, diffs = learned
    base = base_model.base_weights(read_source(bert_dir))
    number = sum(array.size for array in base.values())
    assert list(diffs["learn"].shapes) and diffs["learn"].num_parameters == number
    assert diffs["learn"].density > 0.05
    assert diffs["project"].num_entries == int(0.05 * number)
    for name, positions in diffs["finetune"].positions.items():
        np.testing.assert_array_equal(positions, diffs["project"].positions[name])
    assert diffs["finetune"].weights is None and diffs["project"].weights is not None
    assert any((diffs["finetune"].values[n] != diffs["project"].values[n]).any() for n in base)
    info = model_dir.load_info(os.path.join(options.output_dir, "finetune-0.05"))
    assert info["density"] == diffs["finetune"].density and info["task"]["name"] == "SST-2"
    assert info["target_density"] == 0.05


def test_the_scores_are_those_of_the_file(learned, bert_dir, sst_dir):
    options, diffs = learned
    for stage in diff_stages.STAGES:
        model = base_model.build(read_source(bert_dir), diffs[stage], stage)
        task = registry.get("sst-2")
        tokenizer = model_dir.load_tokenizer(bert_dir)
        encoded = task.encode(task.read(sst_dir, "dev"), tokenizer, 11)
        found = task.score(evaluation.predict(model, encoded, 64), encoded)
        expected = diffs[stage].info["scores"]["dev"]
        for key, value in found.items():
            assert value == pytest.approx(expected[key], abs=1e-5)
    predictions = os.path.join(options.output_dir, "finetune-0.05", "SST-2.tsv")
    with open(predictions, encoding="utf-8") as file:
        assert file.readline() == "index\tprediction\n"


def test_events_and_no_checkpoints_of_a_finished_stage(learned):
    options, _ = learned
    folder = os.path.join(options.output_dir, "learn")
    assert set(os.listdir(folder)) == {
        "diff.safetensors",
        "info.json",
        "eval_results.txt",
        "SST-2.tsv",
        "tensorboard",
    }
    events = b"".join(
        open(os.path.join(folder, "tensorboard", name), "rb").read()
        for name in os.listdir(os.path.join(folder, "tensorboard"))
    )
    assert b"sparsity_penalty" in events and b"expected_density" in events


def test_a_stopped_run_goes_on_to_the_same_numbers(make, learned, monkeypatch):
    from bert_tf.runs import callbacks

    options = make("stopped", alpha_learning_rate=0.5, sparsity_penalty=1e-7)

    class Stop(callbacks.EverySteps):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.step == 7:
                raise KeyboardInterrupt

    folder = diff_stages.folder_of(options.output_dir, "learn", options)
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "EverySteps", Stop)
        with pytest.raises(KeyboardInterrupt):
            diff_stages.run("learn", options, folder)
    diff_stages.run("learn", options, folder)
    found = diff_file.read(os.path.join(folder, "diff.safetensors"))
    whole = learned[1]["learn"]
    for name in whole.shapes:
        np.testing.assert_array_equal(found.positions[name], whole.positions[name])
        np.testing.assert_array_equal(found.values[name], whole.values[name])
        np.testing.assert_array_equal(found.weights[name], whole.weights[name])
    for name, array in whole.dense.items():
        np.testing.assert_array_equal(found.dense[name], array)


def test_non_adaptive(make):
    options = make("non_adaptive", method="non_adaptive", finetune_start="zero")
    diffs = run_all(options, method="diff")
    # Where the entries come from is what the difference says, not the options of a later stage.
    assert diffs["finetune"].info["method"] == "non_adaptive"
    assert diffs["learn"].density > 0.5 and diffs["learn"].weights is None
    magnitudes = np.abs(np.concatenate(list(diffs["learn"].values.values())))
    kept = np.abs(np.concatenate(list(diffs["project"].values.values())))
    assert np.sort(magnitudes)[-len(kept) :].sum() == pytest.approx(kept.sum(), rel=1e-5)
    assert diffs["finetune"].num_entries == len(kept)


def test_the_last_layer_alone(make):
    diffs = run_all(make("last_layer", method="last_layer"))
    assert list(diffs) == ["learn"]
    for name, positions in diffs["learn"].positions.items():
        assert bool(len(positions)) == name.startswith("encoder.blocks.0.")
    with pytest.raises(ValueError, match="last_layer has the stage learn alone, received the st"):
        diff_stages.stages_of("project", "last_layer")


@pytest.mark.parametrize(
    ("layers", "hidden", "inner", "vocab", "groups", "parameters"),
    [
        (24, 1024, 4096, 28996, 393, 333_579_264),  # BERT-large, cased.
        (12, 768, 3072, 30522, 201, 109_482_240),
    ],
)
def test_d7_groups(layers, hidden, inner, vocab, groups, parameters):
    config = EncoderConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=inner,
    )
    shapes = weight_paths.expected_shapes(config)
    body = [math.prod(shape) for path, shape in shapes.items() if weight_paths.in_encoder(path)]
    # The two of the classifier are counted by the paper, but have no gate.
    assert (len(shapes), len(body), sum(body)) == (groups, groups - 2, parameters)


def test_frozen_names_are_whole_names():
    paths = [f"encoder.blocks.{i}.query.kernel" for i in (1, 10)] + ["encoder.embeddings.x"]

    class Config:
        num_hidden_layers = 12

    assert base_model.frozen_paths(paths, Config, None, "blocks.1") == {paths[0]}
    assert base_model.frozen_paths(paths, Config, 2) == {paths[0], paths[2]}
    assert base_model.frozen_paths(paths, Config, 0) == {paths[2]}
    with pytest.raises(ValueError, match="`frozen` must name weights of the base, .* 'blocks.2', "):
        base_model.frozen_paths(paths, Config, None, "blocks.2")
    with pytest.raises(ValueError, match="`frozen_layers` must be at most 12, .* received 13"):
        base_model.frozen_paths(paths, Config, 13)


def test_frozen_weights_have_no_difference(make):
    options = make("frozen", frozen="embeddings", layer_penalties="1,1e-7,1e-6")
    folder = diff_stages.folder_of(options.output_dir, "learn", options)
    diff_stages.run("learn", options, folder)
    diff = diff_file.read(os.path.join(folder, "diff.safetensors"))
    for name, positions in diff.positions.items():
        assert bool(len(positions)) != name.startswith("encoder.embeddings.")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target_density": 0.0}, "`target_density` must be in (0, 1], received 0.0."),
        ({"target_density": 1.5}, "`target_density` must be in (0, 1], received 1.5."),
        ({"gate": "hard_concrete"}, "Argument `gate` is not for differences, received 'hard_con"),
        ({"weight_decay": 0.1}, "`weight_decay` must be 0 with method=diff, received 0.1."),
        ({"frozen_layers": -1}, "`frozen_layers` must be at least 0, received -1."),
        (
            {"method": "non_adaptive", "frozen": "embeddings"},
            "`frozen` must be left out with method=non_adaptive, received 'embeddings'.",
        ),
        (
            {"method": "last_layer", "frozen_layers": 0},
            "`frozen_layers` must be left out with method=last_layer, received 0.",
        ),
        (
            {"method": "all"},
            "`method` must be one of diff, non_adaptive, last_layer, received 'all",
        ),
        ({"layer_penalties": "1,x,2"}, "must be numbers with commas between them, received '1,x"),
        ({"layer_penalties": "1,nan,2"}, "`layer_penalties` must be at least 0, received nan."),
        ({"sparsity_penalty": -1.0}, "`sparsity_penalty` must be at least 0, received -1.0."),
        ({"concrete_lower": 0.5}, "`concrete_lower` must be below 0, received 0.5."),
        ({"concrete_upper": 1.0}, "`concrete_upper` must be above 1, received 1.0."),
        ({"initial_alpha": float("inf")}, "`initial_alpha` must be a finite number, received inf"),
        ({"mixed_precision": "float16"}, "`mixed_precision` must be none or bfloat16, received"),
        ({"finetune_epochs": 0.0}, "`finetune_epochs` must be above 0, received 0.0."),
        # Told before anything is learned, and not by the last stage.
        ({"finetune_epochs": math.inf}, "`finetune_epochs` must be above 0, received inf."),
        ({"finetune_learning_rate": math.inf}, "`finetune_learning_rate` must be above 0, rec"),
        ({"initial_log_alpha": 5.0}, "`initial_log_alpha` is not for differences, received 5.0;"),
        ({"lambda_learning_rate": 0.1}, "`lambda_learning_rate` is not for differences, received"),
    ],
)
def test_bad_options(make, changes, sentence):
    with pytest.raises(ValueError) as caught:
        make("bad", **changes)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"frozen": "block.1"}, "received 'block.1', which names none."),
        ({"layer_penalties": "1,2"}, "must have 3 numbers, of embeddings, 1 layers and the rest, "),
        (
            {"frozen": "embeddings,blocks,pooler"},
            "must leave weights that get a difference, received None and 'embeddings,blocks,poo",
        ),
    ],
)
def test_what_the_model_does_not_allow(make, changes, sentence):
    options = make("bad", **changes)
    with pytest.raises(ValueError) as caught:
        diff_stages.run("learn", options, options.output_dir)
    assert sentence in str(caught.value)


def test_a_head_that_reads_the_word_embedding_is_refused(make, bert_dir, tmp_path):
    for file in ("train.txt", "dev.txt"):
        (tmp_path / file).write_text("good film\nbad film\n" * 9)
    *words, _ = pathlib.Path(bert_dir, "vocab.txt").read_text().split()
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join([*words, "[MASK]"]))
    options = make("bad", task_name="MLM", data_dir=str(tmp_path), vocab_file=str(vocab))
    with pytest.raises(
        ValueError, match="must be of a head with weights of its own, received 'MLM'."
    ):
        diff_stages.run("learn", options, options.output_dir)


def test_a_stage_needs_the_one_before(make):
    options = make("empty")
    with pytest.raises(
        ValueError, match="The stage learn must be finished .*flop-diff-prune learn"
    ):
        diff_stages.run("project", options, options.output_dir)


def test_a_projection_keeps_something(make, learned, tmp_path):
    options = make("diff", target_density=1e-7)
    with pytest.raises(ValueError, match="entries of .* must stay, received target_density=1e-07,"):
        diff_stages.run("project", options, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_another_task_of_the_same_head_is_refused(make, learned, tmp_path):
    columns = {"task_name": "tsv", "text_columns": "sentence", "label_column": "label"}
    with pytest.raises(ValueError, match="is of the task 'SST-2', received the task 'tsv'; learn"):
        diff_stages.run("finetune", make("diff", **columns), str(tmp_path / "out"))


def test_another_base_is_refused(make, learned, bert_dir, tmp_path):
    other = str(tmp_path / "bert")
    shutil.copytree(bert_dir, other)
    model = model_dir.load(other)
    model.encoder.pooler.bias.assign_add(model.encoder.pooler.bias + 1)
    model_dir.save(other, model, model_dir.load_tokenizer(bert_dir))
    options = make("diff", init_checkpoint=other)
    for stage in ("project", "finetune"):
        with pytest.raises(ValueError, match="has a difference to another base model: expected"):
            diff_stages.run(stage, options, str(tmp_path / "out"))
