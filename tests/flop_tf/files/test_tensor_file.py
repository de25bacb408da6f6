import re

import ml_dtypes
import numpy as np
import pytest

from flop_tf.files import tensor_file


def weights():
    rng = np.random.default_rng(0)
    return {"a": rng.normal(size=[3, 4]).astype(np.float32), "b": np.zeros(2), "c": np.float32(1)}


def test_the_fingerprint_does_not_depend_on_order_or_layout():
    expected = tensor_file.fingerprint(weights())
    assert re.fullmatch("[0-9a-f]{64}", expected)
    assert tensor_file.fingerprint(dict(reversed(weights().items()))) == expected
    columns = {**weights(), "a": np.asfortranarray(weights()["a"])}
    assert tensor_file.fingerprint(columns) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"a": weights()["a"].T},
        {"a": weights()["a"].reshape(4, 3)},
        {"a": weights()["a"] + 1e-3},
        {"b": np.zeros(2, np.int64)},
        {"b": np.zeros([2, 1])},
        {"c": np.float32([1])},
        {"c": ml_dtypes.bfloat16(1)},
        {"d": np.zeros(0)},
        {"a": weights()["b"], "b": weights()["a"]},
    ],
)
def test_the_fingerprint_tells_models_apart(change):
    expected = tensor_file.fingerprint(weights())
    assert tensor_file.fingerprint({**weights(), **change}) != expected


def test_the_fingerprint_takes_numbers_only():
    with pytest.raises(ValueError, match="must have arrays of numbers, received object for 'a'"):
        tensor_file.fingerprint({"a": np.array([None])})
