"""Who may import whom: tools -> bert_tf -> flop_tf -> Keras, and nobody back."""

import ast
import functools
import graphlib
import pathlib

import pytest
from syntax import imports

ROOT = pathlib.Path(__file__).parents[1]

#: A folder of ours, and our packages that its files may import.
ALLOWED = {
    "flop_tf": {"flop_tf"},
    "bert_tf": {"flop_tf", "bert_tf"},
    "tools": {"flop_tf", "bert_tf", "flop_tools"},
}
#: The folders of a package in their order: each may import from those before it. First come the
#: modules of the package itself; its `__init__` gathers what users import from all of them.
ORDER = (
    "flop_tf",
    "flop_tf.files",
    "flop_tf.linalg",
    "flop_tf.gates",
    "flop_tf.layers",
    "flop_tf.budget",
    "flop_tf.importance",
    "flop_tf.training",
    "flop_tf.surgery",
    "flop_tf.searches",
    "flop_tf.diffs",
    "bert_tf",
    "bert_tf.encoders",
    "bert_tf.latency",
    "bert_tf.heads",
    "bert_tf.models",
    "bert_tf.families",
    "bert_tf.tokenizers",
    "bert_tf.presentation",
    "bert_tf.surgery",
    "bert_tf.data",
    "bert_tf.checkpoints",
    "bert_tf.tasks",
    "bert_tf.runs",
    "bert_tf.runs.options",
    "bert_tf.serving.onnx_graphs",
    "bert_tf.serving.formats",
    "bert_tf.serving.engines",
    "bert_tf.serving",
    "bert_tf.methods.flop",
    "bert_tf.methods.compress",
    "bert_tf.methods.tickets",
    "bert_tf.methods.text_masks",
    "bert_tf.methods.diffs",
    "bert_tf.studies.sweeps",
    "bert_tf.studies.masks",
    "bert_tf.studies.attention",
    "bert_tf.studies.tickets",
    "bert_tf.studies.speed",
)
OURS = {"flop_tf", "bert_tf", "flop_tools", "tools", "tests"}
FILES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def keras_attributes(tree):
    """Yields each `x.keras` and `from x import keras` with x a name of TensorFlow."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "keras":
            if isinstance(node.value, ast.Name) and node.value.id in ("tf", "tensorflow"):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tensorflow"):
            if "keras" in [alias.name for alias in node.names]:
                yield ast.unparse(node)


@pytest.fixture(params=FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def file(request):
    return request.param


@pytest.fixture
def tree(file):
    return parse(file)


def test_there_are_files_in_each_folder():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(ALLOWED)


def test_imports_go_down_only(file, tree):
    folder = file.relative_to(ROOT).parts[0]
    ours = {name.split(".")[0] for name in imports(tree)} & OURS
    assert ours <= ALLOWED[folder]


def test_only_the_backend_names_keras(file, tree):
    named = {
        name
        for name in imports(tree)
        if name.split(".")[0] in ("keras", "tf_keras") or name.startswith("tensorflow.keras")
    }
    if file == ROOT / "flop_tf" / "backend.py":
        assert {name.split(".")[0] for name in named} == {"tf_keras"}
    else:
        assert not named


def test_one_file_imports_the_model_optimization_toolkit():
    found = [
        path.relative_to(ROOT).as_posix()
        for path in FILES
        for name in imports(parse(path))
        if name.startswith("tensorflow_model_optimization")
    ]
    assert found == ["flop_tf/training/gradual.py"]


@pytest.mark.parametrize(
    "path",
    sorted([*FILES, *(ROOT / "tests").rglob("*.py")]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_nobody_writes_the_keras_of_tensorflow(path):
    tree = parse(path)
    assert not list(keras_attributes(tree))
    assert not [name for name in imports(tree) if name.startswith("tensorflow.keras")]


def modules():
    """Returns the modules of the libraries by name."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in FILES
    }
    return {name: path for name, path in names.items() if not name.startswith("tools")}


def imported(path, known):
    """Returns the modules of a dict that a file imports, those by way of a folder too."""
    return {
        whole if (whole := f"{node.module}.{each.name}") in known else node.module
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    } & set(known)


def folder_of(name):
    return name if name in ORDER else name.rpartition(".")[0]


def test_no_file_imports_itself_by_way_of_others():
    known = modules()
    graph = {name: imported(path, known) for name, path in known.items()}
    assert tuple(graphlib.TopologicalSorter(graph).static_order())


def test_every_folder_has_a_place_in_the_order():
    folders = {folder_of(name) for name, path in modules().items() if path.name != "__init__.py"}
    assert folders == set(ORDER)


@pytest.mark.parametrize("folder", ORDER)
def test_every_folder_is_a_package(folder):
    """Without this file an installation from a wheel lacks the folder."""
    assert (ROOT / folder.replace(".", "/") / "__init__.py").is_file()


@pytest.mark.parametrize("folder", ORDER)
def test_folders_import_from_earlier_ones_only(folder):
    known = modules()
    back = [
        (name, other)
        for name, path in known.items()
        if folder_of(name) == folder and name not in ALLOWED
        for other in imported(path, known)
        if ORDER.index(folder_of(other)) > ORDER.index(folder)
    ]
    assert not back


@pytest.mark.parametrize(
    "code, found",
    [
        ("import tensorflow as tf\ntf.keras.Model()", ["tf.keras"]),
        ("from tensorflow import keras", ["from tensorflow import keras"]),
        ("from flop_tf.backend import keras\nkeras.Model()", []),
    ],
)
def test_the_search_finds_the_keras_of_tensorflow(code, found):
    assert list(keras_attributes(ast.parse(code))) == found
