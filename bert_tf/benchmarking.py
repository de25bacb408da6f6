"""What is measured: inference of model directories, and training steps.

Batches are random tokens without padding that lie in memory before.
"""

import os

import numpy as np
import tensorflow as tf

from bert_tf import benchmark_steps, heads, model_dir, model_info, timing
from bert_tf.encoder import INPUT_NAMES


def random_batch(configs, batch_size, length, seed=0):
    """Returns `(features, labels)`, int32 arrays of random tokens without padding.

    Args:
      configs: of all models that shall accept it.
      batch_size: examples, at least 1.
      length: tokens, in [1, positions of the models].
      seed: of the numbers.

    Raises:
      ValueError: if the size or the length is out of range.
    """
    positions = min(config.max_position_embeddings for config in configs)
    if batch_size < 1:
        raise ValueError(f"Argument `batch_size` must be at least 1, received {batch_size}.")
    if not 1 <= length <= positions:
        raise ValueError(
            f"Argument `length` must be in [1, {positions}], the positions of the model, "
            f"received {length}."
        )
    rng = np.random.default_rng(seed)
    shape = [batch_size, length]
    words = rng.integers(min(c.vocab_size for c in configs), size=shape, dtype=np.int32)
    arrays = (words, np.ones(shape, np.int32), np.zeros(shape, np.int32))
    num_labels = min(config.num_labels for config in configs)
    labels = rng.integers(num_labels, size=batch_size, dtype=np.int32)
    return dict(zip(INPUT_NAMES, arrays, strict=True)), labels


def multiplications_per_token(config, length):
    """Returns the multiplications of a forward pass for one of `length` tokens.

    Projections, attention scores and sums, and what the task head reads.
    """
    attention = sum(2 * length * layer.num_heads * config.head_size for layer in config.layers)
    head = heads.MODELS[config.head].head_multiplications(config, length)
    return round(model_info.num_kernel_parameters(config) + attention + head / length)


def inference(folders, batch_sizes, lengths, rounds, warmup_rounds=3, jit_compile=False):
    """Compares model directories.

    Args:
      folders: model directories; ratios are to the first.
      batch_sizes: ints.
      lengths: tokens of an input, ints.
      rounds: see `timing.interleaved`.
      warmup_rounds: see `timing.interleaved`.
      jit_compile: whether XLA compiles the models.

    Returns:
      `{"models": [...], "timings": [...]}`, plain data.

    Raises:
      ValueError: if a folder is no model directory or a number is out of range.
    """
    folders = [os.fspath(folder) for folder in folders]
    names = _names(folders)
    infos = [model_dir.load_info(folder) for folder in folders]
    models = [model_dir.load(folder) for folder in folders]
    batches = _batches([model.config for model in models], batch_sizes, lengths)
    forwards = [_forward(model, jit_compile) for model in models]
    timings = []
    for batch_size, length, (features, _) in batches:
        calls = [lambda forward=forward, x=features: forward(x).numpy() for forward in forwards]
        seconds = timing.interleaved(calls, rounds, warmup_rounds)
        for model, row in zip(
            models, timing.summary(seconds, names, names[:1], batch_size), strict=True
        ):
            counted = multiplications_per_token(model.config, length)
            shape = {"batch_size": batch_size, "length": length}
            timings.append({**shape, **row, "multiplications_per_token": counted})
    described = [
        {
            "model": name,
            "folder": folder,
            **_counts(model.config),
            **({"stage": info["stage"]} if "stage" in info else {}),
            "file_bytes": os.path.getsize(os.path.join(folder, "model.safetensors")),
            "task": info.get("task"),
            "scores": info.get("scores", {}),
        }
        for name, folder, info, model in zip(names, folders, infos, models, strict=True)
    ]
    return {"models": described, "timings": timings}


def training(config, variants, batch_sizes, lengths, rounds, warmup_rounds=3, jit_compile=False):
    """Compares training steps on random batches.

    Args:
      config: a dense `BertConfig` of a classifier.
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
        calls = [lambda step=step, batch=batch: float(step(*batch)["loss"]) for step in steps]
        seconds = timing.interleaved(calls, rounds, warmup_rounds)
        for row in timing.summary(seconds, variants, _baselines(variants), batch_size):
            timings.append({"batch_size": batch_size, "length": length, **row})
    configs = {
        "factorized": benchmark_steps.full_rank(config, gated=False),
        "gated": benchmark_steps.full_rank(config, gated=True),
    }
    models = [{"model": name, **_counts(configs.get(name, config))} for name in variants]
    return {"models": models, "timings": timings}


def memory(config, variants, batch_size, length, **settings):
    """Compares the memory of training steps, each in a process of its own; needs Linux.

    Args:
      config: a dense `BertConfig`.
      variants: see `training`; ratios are of `step_bytes`.
      batch_size: examples.
      length: tokens of an input.
      **settings: of `benchmark_steps.peak_memory`.

    Returns:
      A list with a dict for each variant: `peak_bytes` of the process and
      `step_bytes`, what came on top of the libraries.
    """
    batch = random_batch([config], batch_size, length)
    rows = []
    for name in variants:
        measured = benchmark_steps.peak_memory(name, config, batch, **settings)
        step_bytes = measured["peak_bytes"] - measured["base_bytes"]
        rows.append(
            {
                "model": name,
                "batch_size": batch_size,
                "length": length,
                "peak_bytes": measured["peak_bytes"],
                "step_bytes": step_bytes,
            }
        )
    of = {row["model"]: row["step_bytes"] for row in rows}
    for row in rows:
        row["ratios"] = {b: row["step_bytes"] / of[b] for b in _baselines(variants)}
    return rows


def _forward(model, jit_compile):
    ids = tf.TensorSpec([None, None], tf.int32)

    @tf.function(input_signature=[dict.fromkeys(INPUT_NAMES, ids)], jit_compile=jit_compile)
    def forward(features):
        return model(features, training=False)

    return forward


def _names(folders):
    """Returns the last parts of the paths, or the whole paths where two are alike."""
    names = [os.path.basename(os.path.normpath(folder)) for folder in folders]
    if len(set(names)) == len(names):
        return names
    if len(set(folders)) < len(folders):
        raise ValueError(f"Argument `folders` names a folder twice, received {folders}.")
    return folders


def _batches(configs, batch_sizes, lengths):
    """Returns `(batch size, length, batch)` for every pair; all are made before any is used."""
    return [
        (size, length, tf.nest.map_structure(tf.constant, random_batch(configs, size, length)))
        for size in batch_sizes
        for length in lengths
    ]


def _baselines(variants):
    return [name for name in variants if name in (variants[0], "dense")]


def _counts(config):
    return {
        "stage": model_info.stage(config),
        "parameters": model_info.num_parameters(config),
        "kernel_parameters": model_info.num_kernel_parameters(config),
    }
