"""The steps of the FLOP chain around training, from folder to folder."""

import collections
import os

from absl import logging

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.data import batching
from bert_tf.heads.head import head_of
from bert_tf.models import model_info
from bert_tf.runs import evaluation
from bert_tf.runs.run_data import SMALL_BATCH
from bert_tf.surgery import compression, masks, projection_statistics, task_masks
from bert_tf.tasks import model_task, registry
from flop_tf import files
from flop_tf.backend import keras
from flop_tf.linalg import factorization

#: Largest difference of the logits at which a compact model still counts as the gated one.
TOLERANCE = 1e-4

#: Next to a model whose kernels were masked: the mask, for `--mask` of a fine-tuning run.
MASK_FILE = "mask.safetensors"

_CHECKED_EXAMPLES = 256
# Examples of each.
_CALIBRATION_BATCH = 32


def factorize(options):
    """Factorizes the projections of a dense BERT and writes the model directory.

    Args:
      options: `bert_tf.methods.flop.stage_options.FactorizeOptions`.

    Raises:
      ValueError: if an option or the checkpoint does not fit.
    """
    keras.utils.set_random_seed(options.seed)
    source = read_source(options.checkpoint, options.bert_config_file, options.vocab_file)
    info = source.inherited
    _check_init(options, info)
    if options.finetuned:
        _check_head(options.checkpoint, source)
    if options.mask:
        source = masks.multiply(source, masks.load(options.mask, source.config).masks)
    tokenizer = source.tokenizer(options.do_lower_case)
    statistics = None
    if options.init_name != "svd":
        source, statistics, found = _calibrated(options, source, tokenizer, info)
        info = {key: value for key, value in info.items() if key != "labels"} | found
    model, origin = compression.factorize(
        source,
        rank=options.ranks,
        density=options.density,
        statistics=statistics,
        split=factorization.SPLITS[options.init_name],
        keep_head=options.finetuned,
    )
    for path, how in sorted(origin.items()):
        logging.info("%-18s %s", how, path)
    logging.info("\nOf %d weights %s.", len(origin), _summary(origin))
    if options.finetuned and source.labels and "task" not in info:
        info["labels"] = list(source.labels)
    model_dir.save(options.output_dir, model, tokenizer, init=options.init_name, **info)


def remove_mask(options):
    """Removes the gates of a model and writes the compact model directory.

    Both models are run on real sentences of the dev set first, or on random
    tokens where the data are not at hand. Where weights of kernels are masked, these become
    zeros, and the mask is written to `MASK_FILE` too.

    Args:
      options: `bert_tf.methods.flop.stage_options.RemoveOptions`.

    Returns:
      The largest difference of the two models' logits, a float.

    Raises:
      ValueError: if nothing can be removed, the model has masks of several tasks, or the two
        models differ by more than `TOLERANCE`.
    """
    source = model_dir.read(options.checkpoint, options.bert_config_file)
    task_masks.check_one_mask(options.checkpoint, source.config)
    gated, tokenizer = source.model(), source.tokenizer()
    compact = compression.remove_masks(gated, options.threshold)
    batches = _check_batches(gated, tokenizer, source.info, options)
    difference = compression.largest_difference(gated, compact, batches)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The compact model differs from the gated one by {difference:.2e}, more than "
            f"{TOLERANCE:.0e}; nothing was written, please report this."
        )
    logging.info("Compact and gated logits differ by at most %.2e.", difference)
    zeros = compact.budget().zero_parameters()
    kernels = _save_kernel_masks(gated, compact, options)
    model_dir.save(
        options.output_folder_dir,
        compact,
        tokenizer,
        factorized=gated.config,
        stage="sparse" if kernels and compact.config == compact.config.dense else "compact",
        threshold=options.threshold,
        largest_difference=difference,
        **source.inherited,
    )
    counts = model_info.counts(compact.config, gated.config, zeros)
    logging.info("\n%s", model_info.as_text(counts))
    return difference


def evaluate(options):
    """Scores a model directory and writes its predictions as GLUE and SQuAD want them.

    Args:
      options: `bert_tf.methods.flop.stage_options.EvaluateOptions`.

    Returns:
      Scores by split, a dict of dicts; a split without labels has none.

    Raises:
      ValueError: if the task, the data and the model do not fit each other.
    """
    folder = options.model_dir
    source = model_dir.read(folder)
    info, tokenizer = source.info, source.tokenizer()
    if options.mask:
        tied = head_of(source.config).is_tied
        source = masks.apply(source, masks.load(options.mask, source.config).masks, tied)
    if not (options.task_name or options.tfds or "task" in info):
        raise ValueError(f"Argument `task_name` is needed: {folder!r} does not say its task.")
    task, data_dir = options.find_task(info, **registry.own_settings(options))
    model = task.with_head(source, f"the model in {folder!r}").model()
    length = options.longest(info, model.config, task)
    scores = {}
    for name in task.expand(options.split or "dev"):
        examples = task.read(data_dir, name)
        encoded = task.encode(examples, tokenizer, length)
        logits = evaluation.predict(model, encoded, options.eval_batch_size)
        if encoded.labels is not None:
            scores[name] = task.score(logits, encoded)
        if options.output_dir:
            task.write_predictions(name, examples, encoded, logits, options.output_dir)
    if options.output_dir:
        files.write_json(os.path.join(options.output_dir, "scores.json"), scores)
    return scores


def _check_init(options, info):
    init = options.init_name
    if init != "svd" and not options.names_data(info):
        raise ValueError(
            f"Argument `init={init}` needs data: pass `data_dir` and `task_name`, received "
            f"{options.data_dir!r} and {options.task_name!r}."
        )


def _check_head(checkpoint, source):
    if source.missing_head:
        raise ValueError(
            f"Argument `finetuned` needs a task head that this project has, but {checkpoint!r} has "
            f"the head of {source.missing_head}; leave it out to start from the encoder alone."
        )
    if not source.has_head:
        raise ValueError(
            f"Argument `finetuned` carries the task head over, but {checkpoint!r} has none; leave "
            "it out to start from the encoder alone."
        )


def _calibrated(options, source, tokenizer, info):
    """Returns the checkpoint with its head in the task's order, statistics, and the task's info."""
    init = options.init_name
    task, _ = options.find_task(info, **registry.own_settings(options))
    if init == "fisher":
        if not source.has_head:
            raise ValueError(
                f"Argument `init=fisher` needs a checkpoint that was fine-tuned on {task.name!r}, "
                "received one without a task head."
            )
        source = task.with_head(source, "the checkpoint for `init=fisher`")
    elif options.finetuned and source.has_head:
        source = task.with_head(source, f"the checkpoint {str(options.checkpoint)!r}")
    length = options.longest(info, source.config, task)
    examples = task.read(options.data_dir, "train")
    if options.holdout_examples:
        examples, _ = task.holdout(examples, options.holdout_examples, options.holdout_seed)
    encoded = task.encode(examples, tokenizer, length, training=True)
    logging.info("Collecting the statistics of %d batches ...", options.calibration_batches)
    statistics = _statistics(options, source, task, encoded)
    found = {"task": task.to_dict(), "data_dir": os.path.abspath(options.data_dir)}
    return source, statistics, found


def _statistics(options, source, task, examples):
    def batches(size):
        num_examples = min(options.calibration_batches * _CALIBRATION_BATCH, len(examples))
        steps = -(-num_examples // size)
        return batching.training_dataset(examples, size, seed=options.seed, num_steps=steps)

    model = source.model()
    if options.init_name == "whitened":
        return projection_statistics.second_moments(model, batches(_CALIBRATION_BATCH))
    loss = task.importance_loss()
    return projection_statistics.squared_gradients(model, batches(SMALL_BATCH), loss)


def _summary(origin):
    counts = collections.Counter(origin.values())
    meanings = {
        compression.CARRIED: "came from the checkpoint",
        compression.FACTORIZED: "are factors of its kernels",
        compression.NEW: "are new",
    }
    return ", ".join(f"{counts[how]} {text} ({how})" for how, text in meanings.items())


def _save_kernel_masks(gated, compact, options):
    """Writes the masks of weights, if there are any, and returns them.

    They come before `info.json`, which says that the folder is complete.
    """
    kernels = compression.kernel_masks(gated)
    if kernels:
        path = os.path.join(options.output_folder_dir, MASK_FILE)
        source = os.path.abspath(options.checkpoint)
        masks.save(path, compact.config, kernels, "kernel_masks", checkpoint=source)
        logging.info("The mask over the weights is in %s.", path)
    return kernels


def _check_batches(model, tokenizer, info, data):
    """Returns batches on which two models are compared: `ModelDataOptions`, or random tokens."""
    at_hand = data.data_dir or os.path.isdir(info.get("data_dir", ""))
    if at_hand and (data.task_name or data.tfds or "task" in info):
        task, data_dir = data.find_task(info)
        length = data.longest(info, model.config, task)
        examples = task.read(data_dir, task.dev_splits[0])
        some = examples.take(range(min(len(examples), _CHECKED_EXAMPLES)))
        return batching.evaluation_dataset(task.encode(some, tokenizer, length), 32)
    if data.data_dir:
        raise ValueError(
            f"Argument `data_dir` needs `task_name` next to it: the model does not say its task, "
            f"received {data.data_dir!r} alone."
        )
    logging.info("The data of the task are not at hand; the models are compared on random tokens.")
    length = model_task.longest(data.max_seq_length, info, model.config)
    return [(features,) for features in model_task.random_features(model.config, length)]
