"""Measurements: inference of models, and training steps.

Batches are random tokens without padding, made before the first measurement.
"""

import contextlib
import functools
import os

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import ranges, timing
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models import model_info
from bert_tf.serving import latency_measurement, versions
from bert_tf.serving.engines import by_turns
from bert_tf.studies.speed import benchmark_plans, benchmark_steps, benchmark_subjects

#: The name of ratios to the dense model that is the fastest at a shape, on any engine.
FASTEST_DENSE = "fastest dense"


def check_shape(configs, batch_size, length):
    """Checks that all models accept batches of a shape and fit into the memory.

    Args:
      configs: list of `EncoderConfig`.
      batch_size: examples, at least 1.
      length: tokens, in [1, positions of the models].

    Raises:
      ValueError: if a number is out of range or the weights of a model do not fit.
    """
    positions = min(config.num_positions for config in configs)
    ranges.check("Argument `batch_size`", batch_size, int, ranges.FROM_1)
    if not 1 <= length <= positions:
        raise ValueError(
            f"Argument `length` must be in [1, {positions}], the positions of the model, "
            f"received {length}."
        )
    parameters = max(map(model_info.num_parameters, configs))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 4 * parameters > memory:
        raise ValueError(
            f"The BERT config must be of a model that fits into {memory / 2**30:.1f} GB of memory, "
            f"received one of {parameters:,} parameters."
        )


def random_batch(configs, batch_size, length, seed=0):
    """Returns `(features, labels)`, int32 arrays of random tokens without padding.

    Args:
      configs: list of the `EncoderConfig` of each model that accepts the batch.
      batch_size: examples, at least 1.
      length: tokens, in [1, positions of the models].
      seed: of the numbers.

    Raises:
      ValueError: if the size or the length is out of range.
    """
    check_shape(configs, batch_size, length)
    rng = np.random.default_rng(seed)
    shape = [batch_size, length]
    words = rng.integers(min(c.vocab_size for c in configs), size=shape, dtype=np.int32)
    arrays = (words, np.ones(shape, np.int32), np.zeros(shape, np.int32))
    num_labels = min(config.num_labels for config in configs)
    labels = rng.integers(num_labels, size=batch_size, dtype=np.int32)
    return dict(zip(INPUT_NAMES, arrays, strict=True)), labels


def inference(
    paths, batch_sizes, lengths, rounds, warmup_rounds=1, memory=False, engine_names=(), **settings
):
    """Compares model directories and exported files, each in a process of its own.

    Args:
      paths: of `benchmark_subjects`; ratios are to the first, and to the fastest dense model at
        each shape where there are others than the first.
      batch_sizes: ints.
      lengths: tokens of an input, ints.
      rounds: see `engines.by_turns`.
      warmup_rounds: see `engines.by_turns`.
      memory: whether to report the most bytes of each process; needs Linux; default False.
      engine_names: see `benchmark_subjects.find`.
      **settings: of `benchmark_subjects.Subject.start`.

    Returns:
      `{"models": [...], "timings": [...]}` and maybe `memory`, plain data.

    Raises:
      ValueError: if a path holds no model or a number is out of range.
    """
    subjects = benchmark_subjects.find(paths, engine_names)
    configs = [subject.config for subject in subjects if subject.config is not None]
    if not configs:
        raise ValueError(
            f"The export {subjects[0].path!r} must have {versions.REPORT_FILE!r} next to it, which "
            "says its vocabulary and positions; else name a model of the same next to it."
        )
    batches = _batches(configs, batch_sizes, lengths)
    for path in dict.fromkeys(one.path for one in subjects if one.is_program):
        logging.warning(
            "The SavedModel %s is a program and is run now; measure only what comes from people "
            "that you trust.",
            path,
        )
    report = {"models": [subject.describe() for subject in subjects], "timings": []}
    named = [(subject.name, subject.config) for subject in subjects]
    dense = [index for index, subject in enumerate(subjects) if subject.stage == "dense"]
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(subject.start(**settings)) for subject in subjects]
        for batch in batches:
            request = "serving_default", batch[2][0]
            seconds = by_turns(running, request, rounds, warmup_rounds)
            rows = _rows(named, batch, seconds)
            if dense and dense != [0]:
                best = min(dense, key=lambda index: rows[index]["p50_ms"])
                for row, turns in zip(rows, seconds, strict=True):
                    row["ratios"][FASTEST_DENSE] = timing.ratio(turns, seconds[best])
                    row["fastest_dense"] = subjects[best].name
            report["timings"] += rows
        if memory:
            peaks = [process.memory() for process in running]
            report["memory"] = [
                {
                    "model": subject.name,
                    "peak_bytes": peak,
                    "ratios": {subjects[0].name: peak / peaks[0]},
                }
                for subject, peak in zip(subjects, peaks, strict=True)
            ]
    return report


def plans(config, densities, batch_sizes, lengths, rounds, warmup_rounds=3):
    """Compares random models, as they are and by their plans for each shape, with tf-models'.

    Args:
      config: a dense `EncoderConfig`.
      densities: see `benchmark_plans.build`; ratios are to tf-models' encoder.
      batch_sizes: ints.
      lengths: tokens of an input, ints.
      rounds: see `timing.interleaved`.
      warmup_rounds: see `timing.interleaved`.

    Returns:
      `{"models": [...], "timings": [...]}`, plain data.

    Raises:
      ValueError: if a number is out of range.
    """
    models, timings = [], []
    for batch in _batches([config], batch_sizes, lengths):
        table = latency_measurement.measure(config, batch[:2], ["tensorflow"])["tensorflow"]
        candidates = benchmark_plans.build(config, densities, table)
        calls = [functools.partial(one.forward, batch[2][0]) for one in candidates]
        seconds = timing.interleaved(calls, rounds, warmup_rounds).T[..., np.newaxis]
        timings += _rows([(one.name, one.config) for one in candidates], batch, seconds)
        models = [
            {"model": one.name, "stage": one.stage, **benchmark_subjects.counts(one.config)}
            for one in candidates
        ]
    return {"models": models, "timings": timings}


def training(config, variants, batch_sizes, lengths, rounds, warmup_rounds=3, jit_compile=False):
    """Compares training steps on random batches.

    Args:
      config: a dense `EncoderConfig` of a classifier.
      variants: names of `benchmark_steps.VARIANTS`; ratios are to the first and to "dense".
      batch_sizes: ints.
      lengths: tokens of an input, ints.
      rounds: see `timing.interleaved`.
      warmup_rounds: see `timing.interleaved`.
      jit_compile: whether XLA compiles the steps.

    Returns:
      `{"models": [...], "timings": [...]}`, plain data.

    Raises:
      ValueError: if a variant is unknown or a number is out of range.
    """
    batches = _batches([config], batch_sizes, lengths)
    steps = [benchmark_steps.build(variant, config, jit_compile) for variant in variants]
    timings = []
    for batch_size, length, batch in batches:
        batch = tf.nest.map_structure(tf.constant, batch)
        calls = [lambda step=step, batch=batch: float(step(*batch)["loss"]) for step in steps]
        seconds = timing.interleaved(calls, rounds, warmup_rounds).T[..., np.newaxis]
        for row in timing.summary(seconds, variants, _baselines(variants), batch_size):
            timings.append({"batch_size": batch_size, "length": length, **row})
    configs = {
        "factorized": benchmark_steps.full_rank(config, gated=False),
        "gated": benchmark_steps.full_rank(config, gated=True),
    }
    configs = {name: configs.get(name, config) for name in variants}
    models = [
        {"model": name, "stage": model_info.stage(one), **benchmark_subjects.counts(one)}
        for name, one in configs.items()
    ]
    return {"models": models, "timings": timings}


def memory(config, variants, batch_size, length, **settings):
    """Compares the memory of training steps, each in a process of its own; needs Linux.

    Args:
      config: a dense `EncoderConfig`.
      variants: see `training`; ratios are of `step_bytes`.
      batch_size: examples.
      length: tokens of an input.
      **settings: of `benchmark_steps.peak_memory`.

    Returns:
      A list with a dict for each variant: `peak_bytes` of the process and
      `step_bytes`, without the bytes of the libraries.
    """
    batch = random_batch([config], batch_size, length)
    measured = {
        name: benchmark_steps.peak_memory(name, config, batch, **settings) for name in variants
    }
    return _memory_rows(measured, _baselines(variants), batch_size, length)


def _rows(named, batch, seconds):
    """Returns a row for each of `(name, EncoderConfig)`, given what `timing.summary` reads."""
    batch_size, length, _ = batch
    names, configs = zip(*named, strict=True)
    rows = []
    for config, row in zip(
        configs, timing.summary(seconds, names, names[:1], batch_size), strict=True
    ):
        counted = None
        if config is not None:
            counted = model_info.multiplications_per_token(config, length)
        # A multiplication goes with an addition.
        counts = {
            "multiplications_per_token": counted,
            "flops": counted and 2 * counted * batch_size * length,
        }
        rows.append({"batch_size": batch_size, "length": length, **row, **counts})
    return rows


def _memory_rows(measured, baselines, batch_size, length):
    """Returns a dict for each name in `measured`, with ratios of the bytes of the step."""
    steps = {name: row["peak_bytes"] - row["base_bytes"] for name, row in measured.items()}
    return [
        {
            "model": name,
            "batch_size": batch_size,
            "length": length,
            "peak_bytes": row["peak_bytes"],
            "step_bytes": steps[name],
            "ratios": {base: steps[name] / steps[base] for base in baselines},
        }
        for name, row in measured.items()
    ]


def _batches(configs, batch_sizes, lengths):
    """Returns `(batch size, length, batch)` for every pair; all are made before any is used."""
    return [
        (size, length, random_batch(configs, size, length))
        for size in batch_sizes
        for length in lengths
    ]


def _baselines(variants):
    return [name for name in variants if name in (variants[0], "dense")]
