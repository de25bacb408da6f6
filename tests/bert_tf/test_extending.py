"""The examples of docs/extending.md work as they are shown, each in a model that it extends."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from flop_tf.backend import keras
from flop_tf.gates import GATES

PAGE = pathlib.Path(__file__).parents[2] / "docs/extending.md"
_SECTION = re.compile(r"^## ([^\n]*)\n(?:(?!^## ).)*?```python\n(.*?)```", re.DOTALL | re.MULTILINE)
BLOCKS = dict(_SECTION.findall(PAGE.read_text(encoding="utf-8")))


@pytest.fixture(autouse=True)
def registries():
    """What an example registers is unknown again after its test."""
    known = [(one, dict(one.items())) for one in (GATES,)]
    yield
    for registry, found in known:
        registry._found = found


def run(name, **given):
    """Runs an example and returns its names."""
    names = {**given, "__name__": "example"}
    exec(compile(BLOCKS[name], f"{PAGE.name}: {name}", "exec"), names)
    return names


def test_every_section_has_an_example():
    kinds = ["gate"]
    assert list(BLOCKS) == [f"A {kind}" for kind in kinds]


def test_a_gate():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=[64, 8]), tf.float32)
    inputs = keras.Input([8])
    hidden = keras.layers.Dense(12, activation="relu")(inputs)
    dense = keras.Model(inputs, keras.layers.Dense(2, name="logits")(hidden))
    found = run("A gate", dense_model=dense, x=x, y=x[:, :2])
    small, model = found["small"], found["model"]
    assert {type(gate) for gate in model.gates} == {found["Ramp"]} and "ramp" in GATES
    assert not small.gates and small.count_params() < dense.count_params()
    np.testing.assert_allclose(small(x), model(x, training=False), atol=1e-5)
