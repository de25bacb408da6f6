"""Attention maps that show a pattern."""

import numpy as np
import pytest


def _diagonal(size, generator):
    return np.eye(size, k=int(generator.integers(-1, 2)))


def _vertical(size, generator):
    values = np.zeros([size, size])
    values[:, generator.integers(0, size, 2)] = 1.0
    return values


def _mix(size, generator):
    return 0.5 * _diagonal(size, generator) + 0.5 * _vertical(size, generator)


def _block(size, generator):
    values = np.zeros([size, size])
    middle = int(generator.integers(size // 3, 2 * size // 3))
    values[:middle, :middle] = values[middle:, middle:] = 1.0
    return values


def _other(size, generator):
    return generator.random([size, size])


@pytest.fixture(scope="session")
def labelled_maps():
    """180 maps of five labels, of 20 to 36 tokens, with some noise."""
    makers = {
        **{"block": _block, "diagonal": _diagonal, "mix": _mix},
        **{"other": _other, "vertical": _vertical},
    }
    generator = np.random.default_rng(0)
    maps, labels = [], []
    for number in range(180):
        label = list(makers)[number % len(makers)]
        size = int(generator.integers(20, 37))
        values = makers[label](size, generator) + 0.02 * generator.random([size, size])
        maps.append((values / values.max()).astype(np.float32))
        labels.append(label)
    return maps, labels
