import copy
import dataclasses
import json
import pathlib
import re

from flop_tools import diff_prune, finetune

import pytest
from absl import flags

from bert_tf.encoders.config import BertConfig
from bert_tf.encoders.weight_paths import expected_shapes
from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.runs.options import FinetuneOptions
from bert_tf.tasks import squad_examples

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def ids(paths):
    return {"argvalues": paths, "ids": [path.stem for path in paths]}


MODELS = ids(sorted(CONFIGS.glob("*.json")))
FLAG_FILES = ids(sorted(CONFIGS.glob("*.flags")))
DIFF_FILES = ids(sorted(CONFIGS.glob("diff_*.flags")))
FINETUNE_FILES = ids(sorted(set(FLAG_FILES["argvalues"]) - set(DIFF_FILES["argvalues"])))


def own_flags(program):
    """The flags of one program, without those of any other program or library."""
    others = set(flags.FLAGS)
    program.define_flags()
    own = flags.FlagValues()
    for name in set(flags.FLAGS) - others:
        own[name] = flags.FLAGS[name]
    flags.FLAGS.remove_flag_values(own)
    return own


@pytest.fixture(scope="module")
def finetune_flags():
    return own_flags(finetune)


@pytest.fixture(scope="module")
def diff_flags():
    return own_flags(diff_prune)


def options_of(path, kind, own):
    """The options `kind` that a flag file makes."""
    paths = dict.fromkeys(("data_dir", "init_checkpoint", "output_dir"), "folder")
    values = copy.deepcopy(own)
    values(["program", f"--flagfile={path}", *(f"--{name}={v}" for name, v in paths.items())])
    return kind(**{field.name: values[field.name].value for field in dataclasses.fields(kind)})


def count(shapes, keep=lambda path: True):
    total = 0
    for path, shape in shapes.items():
        size = 1
        for length in shape:
            size *= length
        total += size * keep(path)
    return total


@pytest.mark.parametrize("path", **MODELS)
def test_model_is_read_and_written_unchanged(path):
    data = json.loads(path.read_text(encoding="utf-8"))
    config = BertConfig.from_json_file(str(path))
    assert data.items() <= config.to_dict().items()


@pytest.mark.parametrize("path", **MODELS)
def test_model_is_listed_with_its_parameters(path):
    shapes = expected_shapes(BertConfig.from_json_file(str(path)))
    kernels = count(shapes, lambda name: ".blocks." in name and name.endswith(".kernel"))
    rows = [line for line in (CONFIGS / "README.md").read_text().splitlines() if path.name in line]
    assert len(rows) == 1 and rows[0].endswith(f"| {kernels:,} | {count(shapes):,} |")


@pytest.mark.parametrize(
    ("name", "kernels", "parameters"),
    [
        ("bert_base", 84_934_656, 109_483_778),
        ("bert_large", 301_989_888, 335_143_938),
        ("minilm_l6_h384", 10_616_832, 22_713_986),
    ],
)
def test_published_sizes(name, kernels, parameters):
    shapes = expected_shapes(BertConfig.from_json_file(str(CONFIGS / f"{name}.json")))
    assert count(shapes) == parameters
    assert count(shapes, lambda path: ".blocks." in path and "kernel" in path) == kernels


@pytest.mark.parametrize("path", **FLAG_FILES)
def test_head_states_command_run_time_and_score(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)]
    for word in ("# Command:   flop-", "# Run time:  ", "# Expected:  "):
        assert sum(line.startswith(word) for line in head) == 1
    assert any(f"--flagfile=configs/{path.name} " in line for line in head)


@pytest.mark.parametrize("path", **FINETUNE_FILES)
def test_flags_make_options(path, finetune_flags):
    options = options_of(path, FinetuneOptions, finetune_flags)
    assert options.gate_name == (None if path.stem.startswith("finetune_") else "hard_concrete")
    assert (options.target_sparsity is None) == (options.gate_name is None)


@pytest.mark.parametrize("path", **DIFF_FILES)
def test_flags_make_options_of_differences(path, diff_flags):
    options = options_of(path, DiffOptions, diff_flags)
    assert options.method == "diff" and not options.structured
    assert options.target_density == 0.005  # The paper's budget.
    assert "diff_{}".format(options.task_name.lower().replace("-", "")) == path.stem


def test_original_values(finetune_flags):
    values = copy.deepcopy(finetune_flags)
    values(["finetune", f"--flagfile={CONFIGS / 'original_sst2.flags'}"])
    original = {
        "task_name": "SST-2",
        "train_batch_size": 32,
        "max_seq_length": 128,
        "num_train_epochs": 50,
        "learning_rate": 0,
        "learning_rate_warmup": 200,
        "lambda_learning_rate": 10,
        "alpha_learning_rate": 5,
        "target_sparsity": 0.95,
        "target_sparsity_warmup": 4000,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "regularization_scale": 0,
        "gate_schedule": "noam",
        "gate_order_examples": 0,
        "initial_log_alpha": 5,
    }
    assert {name: values[name].value for name in original} == original


def test_the_python_of_the_readme_splits_a_file(tmp_path, monkeypatch):
    def article(name):
        answer = {"text": "word", "answer_start": 2}
        questions = [
            {"id": f"{name}{i}", "question": "Which?", "answers": [answer]} for i in range(200)
        ]
        return {"title": name, "paragraphs": [{"context": "A word.", "qas": questions}]}

    monkeypatch.chdir(tmp_path)
    squad_examples.SquadExamples([article("a"), article("b")]).write("xquad.en.json")
    (code,) = re.findall(r"```python\n(.*?)```", (CONFIGS / "README.md").read_text(), re.DOTALL)
    exec(code, {})
    train, dev = (squad_examples.read(f"squad/{name}-v1.1.json") for name in ("train", "dev"))
    assert len(train) == len(dev) == 200
    assert {train.articles[0]["title"], dev.articles[0]["title"]} == {"a", "b"}
