import pytest

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.gated_dense import GatedDense
from flop_tf.layers.projection import ProjectionSpec

GATE = gates.serialize(gates.get("hard_concrete", axis=0, seed=3))


def test_without_a_rank_it_is_dense():
    layer = ProjectionSpec().make(4, activation="relu", use_bias=False, name="query")
    assert type(layer) is keras.layers.Dense
    assert (layer.units, layer.use_bias, layer.name) == (4, False, "query")


@pytest.mark.parametrize("rank, gate", [(0, None), (3, None), (3, GATE)])
def test_with_a_rank_it_is_factorized(rank, gate):
    layer = ProjectionSpec(rank, gate).make(4, activation="relu", name="query")
    assert isinstance(layer, FactorizedDense)
    assert (layer.units, layer.rank, layer.name) == (4, rank, "query")
    assert layer.activation is keras.activations.relu
    assert (layer.gate is None) == (gate is None)
    if gate:
        assert gates.serialize(layer.gate) == gate


def test_each_layer_has_a_gate_of_its_own():
    spec = ProjectionSpec(3, GATE)
    assert spec.make(4).gate is not spec.make(4).gate


def test_a_spec_is_plain_data():
    assert ProjectionSpec(3, GATE) == ProjectionSpec(3, dict(GATE))
    assert ProjectionSpec(3) != ProjectionSpec(2)
    with pytest.raises(AttributeError):
        ProjectionSpec(3).rank = 2


def test_a_dense_one_with_a_gate_is_gated_weight_by_weight():
    gate = gates.serialize(gates.get("fixed", axis=None))
    layer = ProjectionSpec(None, gate).make(4, activation="relu", name="query")
    assert isinstance(layer, GatedDense)
    assert (layer.units, layer.name, layer.gate.axis) == (4, "query", None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((-1,), "`rank` must be None or at least 0, received -1"),
        ((3, "fixed"), "`gate` must be None or a serialized gate, received 'fixed'"),
    ],
)
def test_specs_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProjectionSpec(*arguments)
