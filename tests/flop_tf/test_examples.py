"""The examples in the docstrings of flop_tf run, and every class has one."""

import ast
import doctest
import importlib
import pathlib

import pytest

import flop_tf

FOLDER = pathlib.Path(flop_tf.__file__).parent
FILES = sorted(path for path in FOLDER.rglob("*.py") if ">>>" in path.read_text(encoding="utf-8"))


def module_of(path):
    parts = path.relative_to(FOLDER.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_examples(path):
    module = importlib.import_module(module_of(path))
    flags = doctest.NORMALIZE_WHITESPACE
    found = doctest.testmod(module, optionflags=flags)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=module_of)
def test_every_class_has_one(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    public = [node for node in classes if not node.name.startswith("_")]
    assert not [node.name for node in public if ">>>" not in ast.get_docstring(node)]
