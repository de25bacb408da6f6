"""A search for a mask on text, from the dense BERT to the file of the mask and its scores.

Whatever the method, it ends with `mask.safetensors`, a mask of exactly the sparsity, and with its
scores under the head that the checkpoint came with, so that masks can be compared.
"""

import dataclasses
import json
import math
import os
import time

import tensorflow as tf
from absl import logging

from bert_tf.data import masking
from bert_tf.methods.text_masks import dense_head, text_scores
from bert_tf.methods.text_masks.magnitude_rounds import MagnitudeRounds
from bert_tf.methods.text_masks.mask_loss import MaskLoss, with_text_weights
from bert_tf.methods.text_masks.search_data import SearchData
from bert_tf.methods.text_masks.trained_scores import TrainedScores
from bert_tf.runs.run_checkpoints import RunCheckpoints
from bert_tf.runs.trainer import Trainer
from bert_tf.surgery import masks
from bert_tf.tasks.mlm import MlmTask
from flop_tf import files, surgery
from flop_tf.backend import keras
from flop_tf.training import mask_rules

#: Written last.
RESULTS_FILE = "results.json"

MASK_FILE = "mask.safetensors"

#: Folder with the masks of the checkpoints, `step-N.safetensors`, each with its scores.
STEPS_FOLDER = "masks"

# Measured, see docs/results.md.
_HINT = (
    "The checkpoint had no head of masked language modelling. If it never learned masked words, a "
    "mask transfers better by --mlm=false --distill_hidden=cosine --distill_attention."
)

# By name of the method, see `bert_tf.methods.text_masks.mask_options.METHODS`.
_OBJECTIVES = {"mask": TrainedScores, "imp": MagnitudeRounds}


def search(options):
    """Searches a mask, evaluates it and writes it.

    Args:
      options: `MaskOptions`.

    Returns:
      What `RESULTS_FILE` holds, a dict; with no steps only the scores of the dense model, and of
      the mask that was named.

    Raises:
      ValueError: if a file, an option or what the checkpoint holds does not fit.
      OSError: if a file cannot be written.
    """
    keras.utils.set_random_seed(options.seed)
    data = SearchData(options)
    if options.train_head and not data.has_head:
        data.source = dense_head.train(options, data)
        if options.num_train_steps and not options.loss_terms().distills:
            logging.info(_HINT)
    if options.num_train_steps:
        results = _Search(options, data).run()
    else:
        results = _given(options, data)
    files.write_json(os.path.join(options.output_dir, RESULTS_FILE), results)
    logging.info("%s", json.dumps(results, indent=2))
    return results


def _given(options, data):
    """Returns the scores of what is there: the dense BERT, and a mask if one is named."""
    sources = {"dense": data.source}
    if data.mask is not None:
        sources["masked"] = masks.apply(data.source, data.mask, tied=True)
    models = {name: source.model(**MlmTask.head) for name, source in sources.items()}
    return {name: _score(options, data, model) for name, model in models.items()}


def _score(options, data, model, num_blocks=0):
    loss = MaskLoss(options.loss_terms(), data.teacher)
    return text_scores.score(model, data, loss, options.eval_batch_size, num_blocks)


class _Search:
    """The training of one mask, and what comes of it."""

    def __init__(self, options, data):
        self.options, self.data = options, data
        self.objective = _OBJECTIVES[options.method](options, data)
        self.model = self.objective.model

    def run(self):
        """Trains, writes the mask and returns the results."""
        options = self.options
        settings = json.dumps(dataclasses.asdict(options), indent=2)
        checkpoints = RunCheckpoints(options.output_dir, options.keep_checkpoints)
        trainer = Trainer(self.model, checkpoints, options.num_train_steps, options.save_steps)
        self.eval_seconds = 0.0
        began = time.perf_counter()
        first = trainer.run(self._batches, self._look, settings=settings)
        seconds = time.perf_counter() - began - self.eval_seconds
        logging.info("Searched for %d steps.", options.num_train_steps)
        found = self.objective.found(options.num_train_steps)
        self._write(MASK_FILE, found)
        logging.info("The mask is in %s.", os.path.join(options.output_dir, MASK_FILE))
        # What a run took that was stopped is not known.
        return self._results(found, None if first else round(seconds, 1))

    def _batches(self, first, context):
        self.data.text.total_steps = self.options.num_train_steps
        batches = self.data.text.train_batches(first, context)
        if self.options.loss_terms().distills:
            batches = batches.map(with_text_weights)
        if self.options.mlm:
            return batches
        return batches.map(lambda features, *rest: (masking.restored(features), *rest))

    def _look(self, step, logs, writer):
        """Scores the masks of a step and writes them; returns the values of the progress line."""
        began = time.perf_counter()
        with self.objective.scored(step) as now:
            scores = _score(self.options, self.data, self.model, self.options.eval_blocks)
        if not all(map(math.isfinite, scores.values())):
            raise ValueError(f"The search has diverged at step {step}: {scores}; take lower rates.")
        found = {"zero_rate": mask_rules.zero_rate(now), **self.objective.changes(now)}
        name = os.path.join(STEPS_FOLDER, f"step-{step}.safetensors")
        self._write(name, self.objective.found(step), step=step, scores=scores)
        with writer.as_default(step):
            for name, value in {**found, **scores}.items():
                tf.summary.scalar(name, value)
        self.eval_seconds += time.perf_counter() - began
        return {name: scores[name] for name in ("eval_loss", "distance") if name in scores}

    def _write(self, name, found, **about):
        path = os.path.join(self.options.output_dir, name)
        settings = {"options": dataclasses.asdict(self.options), **about}
        masks.save(path, self.data.source.config, found, self.options.method, **settings)

    def _results(self, found, seconds):
        options, data = self.options, self.data
        pruned = masks.apply(data.source, found, tied=True).model(**MlmTask.head)
        results = {
            "method": options.method,
            "sparsity": options.sparsity,
            "zero_rate": mask_rules.zero_rate(found),
            "steps": options.num_train_steps,
            "seconds": seconds,
            "masked": _score(options, data, pruned),
        }
        if data.has_head and options.mlm and options.method == "mask":
            for path in pruned.head.weights:
                own, theirs = (surgery.named_variables(m)[path] for m in (pruned, self.model))
                own.assign(theirs)
            results["masked_with_its_own_head"] = _score(options, data, pruned)
        return results
