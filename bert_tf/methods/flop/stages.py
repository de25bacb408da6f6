"""The steps of the FLOP chain around training, from folder to folder."""

import collections
import os

from absl import logging

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.data import batching
from bert_tf.heads.head import head_of
from bert_tf.methods.flop import projection_statistics
from bert_tf.models import model_info
from bert_tf.runs import evaluation
from bert_tf.runs.run_data import SMALL_BATCH
from bert_tf.surgery import compression, masks, task_masks
from bert_tf.tasks import model_task
from flop_tf import files
from flop_tf.backend import keras
from flop_tf.linalg import factorization

#: Largest difference of the logits at which a compact model still counts as the gated one.
TOLERANCE = 1e-4

#: Ways to factorize: the statistic each needs and its function of kernel, statistic and rank.
INITS = {
    "svd": None,
    "whitened": factorization.whitened_svd,
    "fisher": factorization.fisher_svd,
}

#: Beside a model whose kernels were masked: the mask, for `--mask` of a fine-tuning run.
MASK_FILE = "mask.safetensors"

_CHECKED_EXAMPLES = 256
# Examples of each.
_CALIBRATION_BATCH = 32

#: What `info.json` of one stage says to the next.
_INHERITED = ("task", "labels", "data_dir", "max_seq_length")


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
    tfds="",
    text_columns=None,
    label_column=None,
    label_type=None,
    quoting=None,
    language=None,
    calibration_batches=32,
    holdout_examples=0,
    holdout_seed=0,
    max_seq_length=None,
    seed=0,
    mask="",
):
    """Factorizes the projections of a dense BERT and writes the model directory.

    Args:
      checkpoint: the dense BERT, in any format.
      output_dir: where to write.
      config_file: its config, if it does not lie beside it.
      vocab_file: its vocabulary, if it does not lie beside it.
      do_lower_case: whether it is uncased; None takes what the checkpoint or its words say.
      finetuned: whether the task head is carried over.
      rank: "full" or an int.
      density: D times the break-even rank instead.
      init: "svd", "whitened" or "fisher"; empty is "whitened" with data and "svd" without.
      task_name: task of the calibration data; empty takes that of the model.
      data_dir: its folder; with `tfds` that of TensorFlow Datasets.
      tfds: data set of TensorFlow Datasets, see `bert_tf.tasks.registry.get`.
      text_columns: of the task "tsv", see `bert_tf.tasks.registry.get`; so the next three.
      label_column: see above.
      label_type: see above.
      quoting: see above.
      language: of the task "xnli".
      calibration_batches: of 32 training examples each, for the statistics.
      holdout_examples: training examples that must not be among them, see `FinetuneOptions`.
      holdout_seed: which ones.
      max_seq_length: longest input in WordPieces; None takes that of the training,
        else the default of the task.
      seed: of the choice of examples and of a new task head.
      mask: mask file; what it removes is 0 in the kernels that are factorized.

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
    if init != "svd" and not (data_dir and (task_name or tfds or "task" in info)):
        raise ValueError(
            f"Argument `init={init}` needs data: pass `data_dir` and `task_name`, received "
            f"{data_dir!r} and {task_name!r}."
        )
    if calibration_batches < 1:
        raise ValueError(
            f"Argument `calibration_batches` must be at least 1, received {calibration_batches}."
        )
    if rank != "full" and density is not None:
        raise ValueError(
            f"Arguments `rank` and `density` exclude each other, received {rank} and {density}."
        )
    source = read_source(checkpoint, config_file, vocab_file)
    if finetuned and source.missing_head:
        raise ValueError(
            f"Argument `finetuned` needs a task head that this project has, but {checkpoint!r} has "
            f"that of {source.missing_head}; leave it out to start from the encoder alone."
        )
    if finetuned and not source.has_head:
        raise ValueError(
            f"Argument `finetuned` carries the task head over, but {checkpoint!r} has none; leave "
            "it out to start from the encoder alone."
        )
    if mask:
        source = masks.multiply(source, masks.load(mask, source.config).masks)
    tokenizer = source.tokenizer(do_lower_case)
    statistics = None
    if init != "svd":
        columns = {
            "text_columns": text_columns,
            "label_column": label_column,
            "label_type": label_type,
            "quoting": quoting,
            "language": language,
        }
        task, _ = model_task.find_task(info, task_name, data_dir, tfds, **columns)
        if init == "fisher":
            _check_fisher(source, task)
            source = task.with_head(source, "the checkpoint for `init=fisher`")
        elif finetuned and source.has_head:
            source = task.with_head(source, f"the checkpoint {str(checkpoint)!r}")
        info.pop("labels", None)  # Those of the task.
        info |= {"task": task.to_dict(), "data_dir": os.path.abspath(data_dir)}
        length = model_task.longest(max_seq_length, info, source.config, task.default_seq_length)
        examples = task.read(data_dir, "train")
        if holdout_examples:
            examples, _ = task.holdout(examples, holdout_examples, holdout_seed)
        encoded = task.encode(examples, tokenizer, length, training=True)
        logging.info("Collecting the statistics of %d batches ...", calibration_batches)
        statistics = _statistics(init, source, task, encoded, calibration_batches, seed)
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
    logging.info("\nOf %d weights %s.", len(origin), _summary(origin))
    if finetuned and source.labels and "task" not in info:
        info["labels"] = list(source.labels)
    model_dir.save(output_dir, model, tokenizer, init=init, **info)


def _summary(origin):
    counts = collections.Counter(origin.values())
    meanings = {
        compression.CARRIED: "came from the checkpoint",
        compression.FACTORIZED: "are factors of its kernels",
        compression.NEW: "are new",
    }
    return ", ".join(f"{counts[how]} {text} ({how})" for how, text in meanings.items())


def _check_fisher(source, task):
    if not source.has_head:
        raise ValueError(
            f"Argument `init=fisher` needs a checkpoint that was fine-tuned on {task.name!r}, "
            "received one without a task head."
        )


def _statistics(init, source, task, examples, num_batches, seed):
    def batches(size):
        steps = -(-min(num_batches * _CALIBRATION_BATCH, len(examples)) // size)
        return batching.training_dataset(examples, size, seed=seed, num_steps=steps)

    model = source.model()
    if init == "whitened":
        return projection_statistics.second_moments(model, batches(_CALIBRATION_BATCH))
    return projection_statistics.squared_gradients(model, batches(SMALL_BATCH), task.loss())


def remove_mask(
    checkpoint,
    output_dir,
    *,
    config_file=None,
    threshold=0.0,
    data_dir="",
    task_name="",
    tfds="",
    max_seq_length=None,
):
    """Removes the gates of a model and writes the compact model directory.

    Both models are run on real sentences of the dev set first, or on random
    tokens where the data are not at hand. Where weights of kernels are masked, these become
    zeros, and the mask is written to `MASK_FILE` too.

    Args:
      checkpoint: model directory of the gated model.
      output_dir: where to write.
      config_file: its config, if it does not lie in the folder.
      threshold: in [0, 1); inference gates up to it are dropped.
      data_dir: folder of the task; empty takes the one that the model was trained on.
      task_name: its task; empty takes that of the model.
      tfds: data set of TensorFlow Datasets, see `bert_tf.tasks.registry.get`.
      max_seq_length: longest input in WordPieces; None takes that of the training,
        else the default of the task.

    Returns:
      The largest difference of the two models' logits.

    Raises:
      ValueError: if nothing can be removed, the model has masks of several tasks, or the two
        models differ by more than `TOLERANCE`.
    """
    info = model_dir.load_info(checkpoint)
    gated = model_dir.load(checkpoint, config_file)
    task_masks.check_one_mask(checkpoint, gated.config)
    tokenizer = model_dir.load_tokenizer(checkpoint)
    compact = compression.remove_masks(gated, threshold)
    data = (task_name, data_dir, tfds)
    batches = _check_batches(gated, tokenizer, info, max_seq_length, data)
    difference = compression.largest_difference(gated, compact, batches)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The compact model differs from the gated one by {difference:.2e}, more than "
            f"{TOLERANCE:.0e}; nothing was written, please report this."
        )
    logging.info("Compact and gated logits differ by at most %.2e.", difference)
    kept = {key: info[key] for key in _INHERITED if key in info}
    zeros = compact.budget().zero_parameters()
    kernels = compression.kernel_masks(gated)
    if kernels:
        # First: `info.json` says that the folder is complete.
        path, source = os.path.join(output_dir, MASK_FILE), os.path.abspath(checkpoint)
        masks.save(path, compact.config, kernels, "kernel_masks", checkpoint=source)
        logging.info("The mask over the weights is in %s.", path)
    model_dir.save(
        output_dir,
        compact,
        tokenizer,
        factorized=gated.config,
        stage="sparse" if kernels and compact.config == compact.config.dense else "compact",
        threshold=threshold,
        largest_difference=difference,
        **kept,
    )
    counts = model_info.counts(compact.config, gated.config, zeros)
    logging.info("\n%s", model_info.as_text(counts))
    return difference


def _check_batches(model, tokenizer, info, max_seq_length, data):
    task_name, data_dir, tfds = data
    if (data_dir or os.path.isdir(info.get("data_dir", ""))) and (
        task_name or tfds or "task" in info
    ):
        task, data_dir = model_task.find_task(info, task_name, data_dir, tfds)
        length = model_task.longest(max_seq_length, info, model.config, task.default_seq_length)
        examples = task.read(data_dir, task.dev_splits[0])
        some = examples.take(range(min(len(examples), _CHECKED_EXAMPLES)))
        return batching.evaluation_dataset(task.encode(some, tokenizer, length), 32)
    if data_dir:
        raise ValueError(
            f"Argument `data_dir` needs `task_name` beside it: the model does not say its task, "
            f"received {data_dir!r} alone."
        )
    logging.info("The data of the task are not at hand; the models are compared on random tokens.")
    length = model_task.longest(max_seq_length, info, model.config)
    return [(features,) for features in model_task.random_features(model.config, length)]


def evaluate(
    folder,
    *,
    data_dir="",
    task_name="",
    tfds="",
    split="",
    output_dir="",
    batch_size=64,
    max_seq_length=None,
    dev_file="",
    quoting="",
    mask="",
):
    """Scores a model directory and writes its predictions as GLUE and SQuAD want them.

    Args:
      folder: the model directory, at any stage.
      data_dir: folder of the task; empty takes the one of the model.
      task_name: the task; empty takes that of the model.
      tfds: data set of TensorFlow Datasets, see `bert_tf.tasks.registry.get`.
      split: "train", "dev", "test", ...; empty is every dev split of the task.
      output_dir: where scores and predictions go; empty writes none.
      batch_size: examples a batch.
      max_seq_length: longest input in WordPieces; None takes that of the training,
        else the default of the task.
      dev_file: of the task "mlm", see `bert_tf.tasks.registry.get`.
      quoting: of the task "tsv", see there; empty takes that of the training.
      mask: mask file; the model is scored under it.

    Returns:
      Scores by split; a split without labels has none.

    Raises:
      ValueError: if the task, the data and the model do not fit each other.
    """
    info = model_dir.load_info(folder)
    tokenizer = model_dir.load_tokenizer(folder)
    source = read_source(folder)
    if mask:
        tied = head_of(source.config).is_tied
        source = masks.apply(source, masks.load(mask, source.config).masks, tied)
    if not (task_name or tfds or "task" in info):
        raise ValueError(f"Argument `task_name` is needed: {folder!r} does not say its task.")
    settings = {"dev_file": dev_file, "quoting": quoting}
    task, data_dir = model_task.find_task(info, task_name, data_dir, tfds, **settings)
    model = task.with_head(source, f"the model in {folder!r}").model()
    length = model_task.longest(max_seq_length, info, model.config, task.default_seq_length)
    scores = {}
    for name in task.expand(split or "dev"):
        examples = task.read(data_dir, name)
        encoded = task.encode(examples, tokenizer, length)
        logits = evaluation.predict(model, encoded, batch_size)
        if encoded.labels is not None:
            scores[name] = task.score(logits, encoded)
        if output_dir:
            task.write_predictions(name, examples, encoded, logits, output_dir)
    if output_dir:
        files.write_json(os.path.join(output_dir, "scores.json"), scores)
    return scores
