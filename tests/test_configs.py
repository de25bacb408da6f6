import copy
import dataclasses
import json
import os
import pathlib
import re

from flop_tools import compress, diff_prune, finetune

import pytest
from absl import flags

from bert_tf import flag_files
from bert_tf.checkpoints import read_architecture
from bert_tf.families.family import FAMILIES
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.methods.diffs.diff_options import DiffOptions
from bert_tf.models.weight_paths import expected_shapes
from bert_tf.runs.options import FinetuneOptions
from bert_tf.studies.sweeps import sweep
from bert_tf.tasks import squad_examples

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"


def ids(paths):
    return {"argvalues": paths, "ids": [path.stem for path in paths]}


def is_old_name(path):
    """Whether a file only includes the task's and the method's."""
    return "kept for one release" in path.read_text(encoding="utf-8")


MODELS = ids(sorted(CONFIGS.glob("models/*.json")))
ALL_FILES = sorted(CONFIGS.glob("**/*.flags"))
FLAG_FILES = ids([path for path in ALL_FILES if not is_old_name(path)])
PAIRS = sorted(CONFIGS.glob("*.flags"))
OLD_NAMES = ids([path for path in PAIRS if is_old_name(path)])
DIFF_FILES = ids(sorted(CONFIGS.glob("diff_*.flags")))
COMPRESS_FILES = ids(sorted(CONFIGS.glob("compress_*.flags")))
OTHERS = {*DIFF_FILES["argvalues"], *COMPRESS_FILES["argvalues"]}
FINETUNE_FILES = ids(sorted(set(PAIRS) - OTHERS))
#: Values of pairs, next to those of the task and the method.
OWN = {
    "compress_cola": {"train": "4"},
    "compress_mrpc": {"train": "10"},
    "compress_rte": {"train": "6"},
    "compress_stsb": {"train": "6"},
    "compress_wnli": {"train": "20"},
    "flop_cola": {"num_train_epochs": "4"},
    "flop_demo": {"num_train_epochs": "2", "gate_order_examples": "200"},
    "flop_mrpc": {"num_train_epochs": "10"},
    "flop_rte": {"num_train_epochs": "6"},
    "flop_stsb": {"num_train_epochs": "6"},
    "flop_wnli": {"num_train_epochs": "20"},
    "diff_rte": {"learning_rate": "1e-4", "sparsity_penalty": "6e-7", "num_train_epochs": "4"},
    "diff_sst2": {"num_train_epochs": "1", "finetune_epochs": "1"},
    "diff_wnli": {"alpha_learning_rate": ".2"},
}


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


@pytest.fixture(scope="module")
def compress_flags():
    return own_flags(compress)


def options_of(path, kind, own):
    """The options `kind` that a flag file makes."""
    paths = dict.fromkeys(("data_dir", "init_checkpoint", "output_dir"), "folder")
    values = copy.deepcopy(own)
    found = flag_files.expanded([f"--flagfile={path}"])
    values(["program", *found, *(f"--{name}={v}" for name, v in paths.items())])
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
    data, config = json.loads(path.read_text(encoding="utf-8")), read_architecture(str(path))
    written = config.to_dict()
    if name := data.get("model_type"):
        written = {"model_type": name, **FAMILIES[name].foreign(config)}
    assert data.items() <= written.items()


@pytest.mark.parametrize("path", **MODELS)
def test_model_is_listed_with_its_parameters(path):
    shapes = expected_shapes(read_architecture(str(path)))
    kernels = count(shapes, lambda name: ".blocks." in name and name.endswith(".kernel"))
    rows = [
        line
        for line in (CONFIGS / "README.md").read_text().splitlines()
        if f"`{path.name}`" in line
    ]
    assert len(rows) == 1 and rows[0].endswith(f"| {kernels:,} | {count(shapes):,} |")


@pytest.mark.parametrize(
    ("name", "kernels", "parameters"),
    [
        ("bert_base", 84_934_656, 109_483_778),
        ("bert_large", 301_989_888, 335_143_938),
        ("minilm_l6_h384", 10_616_832, 22_713_986),
        ("distilbert_base", 42_467_328, 66_955_010),
        ("electra_small", 9_437_184, 13_549_314),
        ("roberta_base", 84_934_656, 124_647_170),
        ("xlm_roberta_base", 84_934_656, 278_045_186),
    ],
)
def test_published_sizes(name, kernels, parameters):
    shapes = expected_shapes(read_architecture(str(CONFIGS / f"models/{name}.json")))
    assert count(shapes) == parameters
    assert count(shapes, lambda path: ".blocks." in path and "kernel" in path) == kernels


@pytest.mark.parametrize("path", **FLAG_FILES)
def test_head_states_command_run_time_and_score(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)]
    for word in ("# Command:   flop-", "# Run time:  ", "# Expected:  "):
        assert sum(line.startswith(word) for line in head) == 1
    name = path.relative_to(CONFIGS).as_posix()
    assert any(f"--flagfile=configs/{name} " in f"{line} " for line in head)


def test_tasks_and_methods_are_composed():
    """A pair's file says what differs from its task and its method, and nothing else."""
    for path in PAIRS:
        method, _, task = path.stem.partition("_")
        parts = [] if method == "finetune" else [f"--flagfile=methods/{method}.flags"]
        own = OWN.get(path.stem, {})
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        changes = [f"--{name}={value}" for name, value in own.items()]
        assert lines == [f"--flagfile=tasks/{task}.flags", *parts, *changes]
        composed = flag_files.expanded(
            [part.replace("=", f"={CONFIGS}/") for part in lines if "flagfile" in part]
        )
        assert flag_files.expanded([f"--flagfile={path}"]) == [*composed, *changes]
    assert set(OWN) == {path.stem for path in PAIRS if not is_old_name(path)}


@pytest.mark.parametrize("path", **OLD_NAMES)
def test_the_heads_of_old_names_say_what_to_write(path):
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    assert all(line.partition("=")[2] in head for line in lines)


def test_flag_files_work_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = ["--num_train_epochs=1", "--num_train_epochs=6"]
    relative = os.path.relpath(CONFIGS / "flop_rte.flags")
    assert flag_files.expanded([f"--flagfile={relative}"])[-2:] == wanted
    (tmp_path / "mine.flags").write_text(f"--flagfile={relative}\n--seed=1\n")
    assert flag_files.expanded(["--flagfile=mine.flags"])[-2:] == [wanted[-1], "--seed=1"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/from_here.flags").write_text("--flagfile=mine.flags\n")
    assert flag_files.expanded(["--flagfile=folder/from_here.flags"])[-1] == "--seed=1"


def test_sweeps_read_tasks_with_and_without_a_file_of_the_pair():
    for task in (path.stem for path in CONFIGS.glob("tasks/*.flags")):
        dense, flop = sweep.read_flags(CONFIGS, task)
        assert list(dense) == flag_files.expanded([f"--flagfile={CONFIGS}/tasks/{task}.flags"])
        assert flop[: len(dense)] == dense and sweep.value(flop, "target_sparsity") == ".6"
        own = OWN.get(f"flop_{task}", {"num_train_epochs": "1"})
        assert {name: sweep.value(flop, name) for name in own} == own


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


@pytest.mark.parametrize("path", **COMPRESS_FILES)
def test_flags_make_options_of_compressions(path, compress_flags):
    options = options_of(path, CompressOptions, compress_flags)
    task = options_of(
        CONFIGS / f"tasks/{path.stem.partition('_')[2]}.flags", CompressOptions, compress_flags
    )
    assert options.num_train_epochs == task.num_train_epochs
    assert options.epochs == float(OWN[path.stem]["train"])
    assert str(options.parsed_targets[0]) == "0.5"


def test_every_task_file_goes_before_every_method(compress_flags):
    for path in CONFIGS.glob("tasks/*.flags"):
        assert options_of(path, CompressOptions, compress_flags).task_name


def test_original_values(finetune_flags):
    values = copy.deepcopy(finetune_flags)
    files = [f"--flagfile={CONFIGS / name}.flags" for name in ("tasks/sst2", "methods/original")]
    values(["finetune", *files])
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
