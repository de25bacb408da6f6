import numpy as np
import pytest
import tensorflow as tf

from flop_tf import gates
from flop_tf.gates.switched import SwitchedMask, mask_scope

VALUES = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1]], np.float32)


@pytest.fixture
def gate():
    gate = SwitchedMask(num_masks=3)
    gate.build([None, 3])
    gate.values.assign(VALUES)
    return gate


def test_the_masks_change_without_a_new_trace(gate):
    traces = []

    @tf.function
    def call(inputs, index):
        traces.append(index)
        with mask_scope(index):
            return gate(inputs), gate.keep(), gate.expected_active()

    for index in (0, 2, 1, 0):
        outputs, keep, active = call(tf.fill([2, 3], 2.0), tf.constant(index))
        np.testing.assert_array_equal(outputs, 2 * VALUES[[index, index]])
        np.testing.assert_array_equal(keep, VALUES[index] > 0)
        assert float(active) == VALUES[index].sum()
    assert len(traces) == 1


def test_scopes_end_and_nest(gate):
    with mask_scope(0):
        with mask_scope(1):
            np.testing.assert_array_equal(gate.mask(), VALUES[1])
        np.testing.assert_array_equal(gate.mask(), VALUES[0])
    with pytest.raises(ValueError, match="has 3 masks and must be used inside of .*, received no"):
        gate.mask()


def test_replicas_have_their_own_scope(gate, two_devices):
    def replica():
        index = tf.distribute.get_replica_context().replica_id_in_sync_group
        with mask_scope(index):
            tf.distribute.get_replica_context().merge_call(lambda _: None)
            return gate.mask()

    masks = two_devices.experimental_local_results(two_devices.run(replica))
    np.testing.assert_array_equal(masks, VALUES[:2])


def test_the_shape_of_its_variable():
    data = gates.serialize(SwitchedMask(axis=2, num_masks=4, name="mine"))
    assert gates.variable_shapes(data, (7,)) == {"values": (4, 7)}
    assert gates.variable_shapes({"name": "fixed", "config": {}}, (7,)) == {"values": (7,)}


def test_at_least_one_mask():
    with pytest.raises(ValueError, match="`num_masks` must be at least 1, received 0"):
        SwitchedMask(num_masks=0)
