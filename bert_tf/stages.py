"""The steps of the FLOP chain around training, from folder to folder."""

import os

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf import (
    batching,
    compression,
    evaluation,
    files,
    losses,
    model_dir,
    model_info,
    predictions,
    projection_statistics,
    tasks,
)
from bert_tf.checkpoints import read_source
from bert_tf.encoder import INPUT_NAMES
from bert_tf.run_data import SMALL_BATCH
from bert_tf.weight_paths import HEAD
from flop_tf import factorization
from flop_tf.backend import keras

#: Largest difference of the logits at which a compact model still counts as the gated one.
TOLERANCE = 1e-4

#: Ways to factorize: the statistic each needs and its function of kernel, statistic and rank.
INITS = {
    "svd": None,
    "whitened": factorization.whitened_svd,
    "fisher": factorization.fisher_svd,
}

#: What `info.json` of one stage says to the next.
_INHERITED = ("task", "data_dir", "max_seq_length")


def factorize(
    checkpoint,
    output_dir,
    *,
    config_file=None,
    vocab_file=None,
    do_lower_case=None,
    finetuned=False,
    rank="full",
    density=None,
    init="",
    task_name="",
    data_dir="",
    text_columns=None,
    label_column=None,
    label_type=None,
    language=None,
    calibration_examples=1024,
    holdout_examples=0,
    holdout_seed=0,
    max_seq_length=None,
    seed=0,
):
    """Factorizes the projections of a dense BERT and writes the model directory.

    Args:
      checkpoint: the dense BERT, in any format.
      output_dir: where to write.
      config_file: its config, if it does not lie beside it.
      vocab_file: its vocabulary, if it does not lie beside it.
      do_lower_case: whether it is uncased; None takes what the checkpoint says, or true.
      finetuned: whether the task head is carried over.
      rank: "full" or an int.
      density: D times the break-even rank instead.
      init: "svd", "whitened" or "fisher"; empty is "whitened" with data and "svd" without.
      task_name: task of the calibration data; empty takes that of the model.
      data_dir: its folder.
      text_columns: of the task "tsv", see `bert_tf.tasks.get`; so the next two.
      label_column: see above.
      label_type: see above.
      language: of the task "xnli".
      calibration_examples: training examples for the statistics.
      holdout_examples: training examples that must not be among them, see `FinetuneOptions`.
      holdout_seed: which ones.
      max_seq_length: longest input in WordPieces; None takes that of the training, else 128.
      seed: of the choice of examples and of a new task head.

    Raises:
      ValueError: if an argument or the checkpoint does not fit.
    """
    keras.utils.set_random_seed(seed)
    init = init or ("whitened" if data_dir else "svd")
    if init not in INITS:
        raise ValueError(f"Argument `init` must be one of {sorted(INITS)}, received {init!r}.")
    known = {}
    if os.path.isfile(os.path.join(checkpoint, model_dir.INFO_FILE)):
        known = model_dir.load_info(checkpoint)
    info = {key: known[key] for key in _INHERITED if key in known}
    if init != "svd" and not (data_dir and (task_name or "task" in info)):
        raise ValueError(
            f"Argument `init={init}` needs data: pass `data_dir` and `task_name`, received "
            f"{data_dir!r} and {task_name!r}."
        )
    if calibration_examples < 1:
        raise ValueError(
            f"Argument `calibration_examples` must be at least 1, received {calibration_examples}."
        )
    if rank != "full" and density is not None:
        raise ValueError(
            f"Arguments `rank` and `density` exclude each other, received {rank} and {density}."
        )
    source = read_source(checkpoint, config_file, vocab_file)
    tokenizer = model_dir.make_tokenizer(source, do_lower_case)
    statistics = None
    if init != "svd":
        columns = {
            "text_columns": text_columns,
            "label_column": label_column,
            "label_type": label_type,
            "language": language,
        }
        task = _find_task(info, task_name, data_dir=data_dir, **columns)
        info |= {"task": task.to_dict(), "data_dir": os.path.abspath(data_dir)}
        length = _longest(max_seq_length, info, source.config)
        examples = batching.encode(task.read(data_dir, "train"), tokenizer, length)
        if holdout_examples:
            examples, _ = batching.holdout(examples, holdout_examples, holdout_seed)
        statistics = _statistics(init, source, task, examples, calibration_examples, seed)
    model, origin = compression.factorize(
        source,
        rank=rank,
        density=density,
        statistics=statistics,
        split=INITS[init],
        keep_head=finetuned,
    )
    for path, how in sorted(origin.items()):
        logging.info("%-18s %s", how, path)
    model_dir.save(output_dir, model, tokenizer, init=init, **info)


def _find_task(info, task_name, **arguments):
    """Returns the task called `task_name`, with what the model knows of it; empty is its own."""
    known = info.get("task")
    if known and task_name.lower() in ("", known["name"].lower()):
        given = {key: value for key, value in arguments.items() if value and key != "data_dir"}
        return tasks.get(**{**known, **given})
    return tasks.get(task_name, **{key: value for key, value in arguments.items() if value})


def _longest(max_seq_length, info, config):
    """Returns the length that is asked for, else that of the training, within the positions."""
    asked = max_seq_length or info.get("max_seq_length", 128)
    return min(asked, config.max_position_embeddings)


def _statistics(init, source, task, examples, num_examples, seed):
    def batches(size):
        steps = -(-min(num_examples, len(examples)) // size)
        return batching.training_dataset(examples, size, seed=seed, num_steps=steps)

    if init == "whitened":
        return projection_statistics.second_moments(model_dir.build(source), batches(32))
    if not set(HEAD) <= set(source.weights) or source.config.num_labels != task.num_outputs:
        raise ValueError(
            f"Argument `init=fisher` needs a checkpoint that was fine-tuned on {task.name!r}, "
            f"received one without a task head of {task.num_outputs} outputs."
        )
    loss = losses.task_loss(task.is_regression)
    model = model_dir.build(source)
    return projection_statistics.squared_gradients(model, batches(SMALL_BATCH), loss)


def remove_mask(
    checkpoint,
    output_dir,
    *,
    config_file=None,
    threshold=0.0,
    data_dir="",
    task_name="",
    max_seq_length=None,
):
    """Removes the gates of a model and writes the compact model directory.

    Both models are run on real sentences of the dev set first, or on random
    tokens where the data are not at hand.

    Args:
      checkpoint: model directory of the gated model.
      output_dir: where to write.
      config_file: its config, if it does not lie in the folder.
      threshold: in [0, 1); inference gates up to it are dropped.
      data_dir: folder of the task; empty takes the one that the model was trained on.
      task_name: its task; empty takes that of the model.
      max_seq_length: longest input in WordPieces; None takes that of the training, else 128.

    Returns:
      The largest difference of the two models' logits.

    Raises:
      ValueError: if nothing can be removed or the two models differ by more than `TOLERANCE`.
    """
    info = model_dir.load_info(checkpoint)
    gated = model_dir.load(checkpoint, config_file)
    tokenizer = model_dir.load_tokenizer(checkpoint)
    compact = compression.remove_masks(gated, threshold)
    batches = _check_batches(gated, tokenizer, info, data_dir, task_name, max_seq_length)
    difference = compression.largest_difference(gated, compact, batches)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The compact model differs from the gated one by {difference:.2e}, more than "
            f"{TOLERANCE:.0e}; nothing was written, please report this."
        )
    logging.info("Compact and gated logits differ by at most %.2e.", difference)
    kept = {key: info[key] for key in _INHERITED if key in info}
    model_dir.save(
        output_dir,
        compact,
        tokenizer,
        factorized=gated.config,
        threshold=threshold,
        largest_difference=difference,
        **kept,
    )
    logging.info("\n%s", model_info.as_text(model_info.counts(compact.config, gated.config)))
    return difference


def _check_batches(model, tokenizer, info, data_dir, task_name, max_seq_length, num_batches=8):
    length = _longest(max_seq_length, info, model.config)
    known_dir = info.get("data_dir", "")
    if (data_dir or os.path.isdir(known_dir)) and (task_name or "task" in info):
        task = _find_task(info, task_name, data_dir=data_dir or known_dir)
        examples = task.read(data_dir or known_dir, task.dev_splits[0])
        some = examples.take(range(min(len(examples), 32 * num_batches)))
        return batching.evaluation_dataset(batching.encode(some, tokenizer, length), 32)
    if data_dir:
        raise ValueError(
            f"Argument `data_dir` needs `task_name` beside it: the model does not say its task, "
            f"received {data_dir!r} alone."
        )
    logging.info("The data of the task are not at hand; the models are compared on random tokens.")
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(num_batches):
        ids = generator.integers(0, model.config.vocab_size, [8, length], np.int32)
        mask = (np.arange(length) < generator.integers(1, length + 1, [8, 1])).astype(np.int32)
        arrays = (ids * mask, mask, np.zeros_like(ids))
        batches.append((dict(zip(INPUT_NAMES, map(tf.constant, arrays), strict=True)),))
    return batches


def evaluate(
    folder,
    *,
    data_dir="",
    task_name="",
    split="",
    output_dir="",
    batch_size=64,
    max_seq_length=None,
):
    """Scores a model directory and writes its predictions as GLUE wants them.

    Args:
      folder: the model directory, at any stage.
      data_dir: folder of the task; empty takes the one of the model.
      task_name: the task; empty takes that of the model.
      split: "train", "dev", "test", ...; empty is every dev split of the task.
      output_dir: where scores and predictions go; empty writes none.
      batch_size: examples a batch.
      max_seq_length: longest input in WordPieces; None takes that of the training, else 128.

    Returns:
      Scores by split; a split without labels has none.

    Raises:
      ValueError: if the task, the data and the model do not fit each other.
    """
    info = model_dir.load_info(folder)
    model, tokenizer = model_dir.load(folder), model_dir.load_tokenizer(folder)
    if not (task_name or "task" in info):
        raise ValueError(f"Argument `task_name` is needed: {folder!r} does not say its task.")
    data_dir = data_dir or info.get("data_dir", "")
    task = _find_task(info, task_name, data_dir=data_dir)
    if task.num_outputs != model.config.num_labels:
        raise ValueError(
            f"Task {task.name!r} has {task.num_outputs} outputs, but the model in {folder!r} has "
            f"{model.config.num_labels}."
        )
    scores = {}
    for name in task.expand(split or "dev"):
        examples = task.read(data_dir, name)
        length = _longest(max_seq_length, info, model.config)
        encoded = batching.encode(examples, tokenizer, length)
        logits = evaluation.predict(model, encoded, batch_size)
        if encoded.labels is not None:
            scores[name] = evaluation.score_logits(task, logits, encoded.labels)
        if output_dir:
            predictions.write(task, name, examples.ids, logits, output_dir)
    if output_dir:
        files.write_json(os.path.join(output_dir, "scores.json"), scores)
    return scores
