"""What the README and the pages of docs/ show works: commands, links and Python."""

import copy
import functools
import importlib
import pathlib
import re
import shlex

import numpy as np
import pytest
from absl import flags

import flop_tf
from bert_tf import flag_files
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "configs/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = ROOT / "docs/guides/python.md"
#: Flags of absl, of scripts and of other projects' programs.
SCRIPTS = {"flagfile", "help", "verbosity", "logdir", "jobs", "report"}
SCRIPTS.add("tensorflow_intra_op_parallelism")
for _path in [*ROOT.glob("examples/*.py"), *ROOT.glob("tests/*.py")]:
    SCRIPTS |= set(re.findall(r'add_argument\("--(\w+)"', _path.read_text("utf-8")))


def ids(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page):
    """Returns the commands `flop-*` of a page, lists of words."""
    lines = [
        line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").split("\n")
    ]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[0].startswith("flop-")]


@functools.cache
def flags_of(program):
    """Returns the flags of one program, without those of any other program or library."""
    module = importlib.import_module(
        f"flop_tools.{program.removeprefix('flop-').replace('-', '_')}"
    )
    others = set(flags.FLAGS)
    module.define_flags()
    own = flags.FlagValues()
    for name in set(flags.FLAGS) - others:
        own[name] = flags.FLAGS[name]
    flags.FLAGS.remove_flag_values(own)
    return own


def headings(page):
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}


def test_the_readme_is_short():
    assert len(README.read_bytes()) <= 7000


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_files_and_folders_exist(page):
    pattern = r"`((?:flop_tf|bert_tf|tools|tests|examples|configs|docs)/[\w/.]*)`"
    for path in re.findall(pattern, page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_commands_are_accepted(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands(page):
        given = [word for word in words if word not in ("...", "[...]")]
        values = copy.deepcopy(flags_of(words[0]))
        if given != words:  # Shortened: what is required may be left out.
            for name in values:
                values[name].default = values[name].value or "left out"
        rest = values(flag_files.expanded(given))
        assert len(rest) <= 2 and "--" not in "".join(rest), rest


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_flags_exist(page):
    programs = re.findall(r'^    "(\w+)",$', (ROOT / "setup.py").read_text(), re.MULTILINE)
    known = {name for program in programs for name in flags_of(program)}
    known |= {f"no{name}" for name in known} | SCRIPTS
    named = set(re.findall(r"(?<![\w-])--([a-z]\w+)", page.read_text(encoding="utf-8")))
    assert len(programs) > 15 and named <= known


@pytest.fixture
def known():
    """A model with data for it, under the names of the examples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 16)).astype("float32")
    y = x @ rng.normal(size=(16, 3)).astype("float32")
    inputs = keras.Input([16])
    hidden = keras.layers.Dense(24, activation="relu")(inputs)
    hidden = keras.layers.Dense(24, activation="relu")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden))
    return {"dense_model": model, "model": model, "x": x, "y": y}


def test_pruning_in_a_few_lines(known, tmp_path, monkeypatch):
    (code,) = [text for text in blocks(README, "python") if "flop_tf.prune" in text]
    assert len(code.splitlines()) <= 8
    monkeypatch.chdir(tmp_path)
    exec(code, known)
    small, dense, x = known["small"], known["model"], known["x"]
    removed = 1 - (small.count_params() - 24 * 3 - 51) / (dense.count_params() - 24 * 3 - 51)
    assert 0.5 <= removed < 0.6 and type(small.get_layer("logits")) is keras.layers.Dense
    again = keras.models.load_model("small.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), small.predict(x, verbose=0), atol=1e-6)


def test_any_keras_model(known):
    (code,) = [text for text in blocks(PYTHON, "python") if "flop_tf.factorize" in text]
    dense, x = known["dense_model"], known["x"]
    assert "epochs=30" in code and "last_step=400" in code
    exec(code.replace("epochs=30", "epochs=3").replace("last_step=400", "last_step=20"), known)
    model, small = known["model"], known["small"]
    assert float(known["sparsity"].stored_sparsity()) == pytest.approx(0.5, abs=0.05)
    assert small.count_params() < dense.count_params()
    assert not any(isinstance(layer, flop_tf.gates.Gate) for layer in small._flatten_layers())
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("page", [README, PYTHON], ids=ids([README, PYTHON]))
def test_a_bert(page, tmp_path, monkeypatch):
    (code,) = [text for text in blocks(page, "python") if "bert_tf.load(" in text]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", encoding="utf-8")
    model = BertModel(EncoderConfig(5, 8, 1, 2, 12, max_position_embeddings=8))
    tokenizer = Tokenizer(str(tmp_path / "vocab.txt"))
    model_dir.save(tmp_path / "runs/compact", model, tokenizer)
    monkeypatch.chdir(tmp_path)
    known = {}
    exec(code, known)
    assert known["model"].config == model.config and known["tokenizer"].vocab == tokenizer.vocab
