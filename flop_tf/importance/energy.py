"""How much of a projection's output each of its inputs carries.

U units, W inputs a unit, O outputs.
"""

import numpy as np


def output_energy(covariances, kernel):
    """Returns the variance of the outputs that each unit alone makes.

    `E_u = tr(K_u^T C_u K_u)` with `K_u [W, O]` the rows of the kernel that a unit owns and C_u the
    covariance of its inputs. Means do not count: a bias makes up for them.

    Args:
      covariances: C, array `[U, W, W]`; `[U]` for units of one input.
      kernel: K, array `[U W, O]`, units one after the other.

    Returns:
      float64 `[U]`.
    """
    covariances = np.asarray(covariances, np.float64)
    rows = np.asarray(kernel, np.float64).reshape([len(covariances), -1, kernel.shape[-1]])
    if covariances.ndim == 1:
        return covariances * np.square(rows[:, 0]).sum(axis=-1)
    return np.einsum("uvw,uvo,uwo->u", covariances, rows, rows, optimize=True)
