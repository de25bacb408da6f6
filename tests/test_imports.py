"""Who may import whom: tools -> bert_tf -> flop_tf -> Keras, and nobody back."""

import ast
import functools
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

#: A folder of ours, and our packages that its files may import.
ALLOWED = {
    "flop_tf": {"flop_tf"},
    "bert_tf": {"flop_tf", "bert_tf"},
    "tools": {"flop_tf", "bert_tf", "flop_tools"},
}
OURS = {"flop_tf", "bert_tf", "flop_tools", "tools", "tests"}
FILES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "Imports name the whole path."
            yield node.module


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
    assert found == ["flop_tf/gradual.py"]


@pytest.mark.parametrize(
    "path",
    sorted([*FILES, *(ROOT / "tests").rglob("*.py")]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_nobody_writes_the_keras_of_tensorflow(path):
    tree = parse(path)
    assert not list(keras_attributes(tree))
    assert not [name for name in imports(tree) if name.startswith("tensorflow.keras")]


def test_no_file_imports_itself_by_way_of_others():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in FILES
        if path.relative_to(ROOT).parts[0] != "tools"
    }
    graph = {}
    for name, path in modules.items():
        tree = parse(path)
        named = {
            whole if (whole := f"{node.module}.{each.name}") in modules else node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for each in node.names
        }
        graph[name] = named & set(modules)
    assert tuple(graphlib.TopologicalSorter(graph).static_order())


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
