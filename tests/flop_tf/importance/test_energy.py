"""The output energy of units."""

import numpy as np
import pytest

from flop_tf.importance.energy import output_energy


@pytest.mark.parametrize("width", [1, 3])
def test_variance_of_what_a_unit_writes(width):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=[500, 4, width]) @ rng.normal(size=[width, width]) + 2.0
    kernel = rng.normal(size=[4 * width, 5])
    centred = inputs - inputs.mean(axis=0)
    covariances = np.einsum("nuv,nuw->uvw", centred, centred) / 500
    if width == 1:
        covariances = covariances[:, 0, 0]
    expected = [
        np.var(inputs[:, unit] @ kernel[unit * width : (unit + 1) * width], axis=0).sum()
        for unit in range(4)
    ]
    np.testing.assert_allclose(output_energy(covariances, kernel), expected)
