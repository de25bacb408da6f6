"""Times of several functions in one run, by turns, so that a busy machine slows all alike.

A round calls every function once, and every round starts with another one. The
first rounds do not count.
"""

import contextlib
import importlib.metadata
import os
import platform
import time
import typing

import numpy as np
import tensorflow as tf

from bert_tf import ranges

_PACKAGES = (
    "tensorflow",
    "tf_keras",
    "tf-models-official",
    "tensorflow-text",
    "numpy",
    "flop-tf",
    "ai-edge-litert",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "tensorflow-serving-api",
)


def interleaved(calls, rounds, warmup_rounds=3):
    """Times functions by turns.

    Args:
      calls: functions without arguments that return when their work is done.
      rounds: number of times that each one counts, at least 1.
      warmup_rounds: rounds before, for tracing and caches, 0 or more.

    Returns:
      Seconds, array `[rounds, len(calls)]`.

    Raises:
      ValueError: if a number of rounds is out of range.
    """
    ranges.check("Argument `rounds`", rounds, int, ranges.FROM_1)
    ranges.check("Argument `warmup_rounds`", warmup_rounds, int, ranges.FROM_0)
    seconds = np.zeros([warmup_rounds + rounds, len(calls)])
    for number in range(len(seconds)):
        for turn in range(len(calls)):
            index = (number + turn) % len(calls)
            start = time.perf_counter()
            calls[index]()
            seconds[number, index] = time.perf_counter() - start
    return seconds[warmup_rounds:]


def ratio(first, second):
    """Returns the median over rounds of the median time in one over the other's in that round.

    So a slow minute does not change it.

    Args:
      first: seconds of the calls of each round, a sequence of arrays.
      second: as many others.
    """
    pairs = zip(first, second, strict=True)
    return float(np.median([np.median(one) / np.median(other) for one, other in pairs]))


def summary(seconds, names, baselines, batch_size):
    """Returns a dict of plain data for each of several functions.

    A ratio is `ratio` to a baseline. The spread is the interquartile range over the median.

    Args:
      seconds: for each function the seconds of its calls, an array a round; `interleaved` has one
        call a round, `seconds.T[..., np.newaxis]`.
      names: of the functions.
      baselines: the names among them to which there are ratios.
      batch_size: examples a call.
    """
    rows = []
    for rounds, name in zip(seconds, names, strict=True):
        low, middle, high, late = np.percentile(np.concatenate(rounds), [25, 50, 75, 90])
        ratios = {b: ratio(rounds, seconds[names.index(b)]) for b in baselines}
        rows.append(
            {
                "model": name,
                "p50_ms": 1e3 * float(middle),
                "p90_ms": 1e3 * float(late),
                "spread": float((high - low) / middle),
                "examples_per_second": batch_size / float(middle),
                "ratios": ratios,
            }
        )
    return rows


class Environment(typing.TypedDict):
    """What a report reads of an `environment`."""

    device: str
    cores: int | None
    system: str
    versions: dict[str, str]


def environment():
    """Returns where this runs: device, cores, threads and versions, plain data."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {
        "device": details.get("device_name") or _processor(),
        "cores": os.cpu_count(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions():
    """Returns the version of each installed package; packages of some formats may lack."""
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _processor():
    """Returns the name of the processor; Python itself does not know it on Linux."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
