"""Latency tables with seconds that are made up."""

import os

from bert_tf.latency import LatencyTable, terms
from bert_tf.serving import latency_measurement

_SECONDS = {
    (terms.FIXED, 0): 1e-3,
    (terms.NORM, 0): 1e-5,
    (terms.ATTENTION, 1): 2e-4,
    (terms.ATTENTION, 2): 3e-4,
    (terms.FFN, 16): 1e-4,
    (terms.FFN, 48): 2e-4,
    (terms.KERNEL, 0): 1e-9,
    (terms.FACTOR_NUMBERS, 0): 1e-9,
}


def make(seconds=None, shape=(8, 16), hidden_size=32, head_size=16, engine="tensorflow", **where):
    """Returns a table by which time is multiplications, but for `seconds` by `(term, size)`."""
    known = {**_SECONDS, **(seconds or {})}
    spread = {key: (value, abs(value) / 10) for key, value in known.items()}
    return LatencyTable(engine, shape, hidden_size, head_size, spread, where)


def write(folder, engine, seconds=None, **sizes):
    """Writes such a table of this machine into a folder; returns its path."""
    path, here = os.path.join(folder, f"{engine}.json"), latency_measurement.environment()
    make(seconds, engine=engine, **sizes, **here).save(path)
    return path
