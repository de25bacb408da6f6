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
from bert_tf.methods.text_masks.mask_learner import MaskLearner, with_text_weights
from bert_tf.methods.text_masks.search_data import MLM_HEAD, SearchData
from bert_tf.methods.text_masks.trained_scores import TrainedScores
from bert_tf.methods.text_masks.training_loop import TrainingLoop
from bert_tf.surgery import masks
from flop_tf import files, surgery
from flop_tf.backend import keras
from flop_tf.training import mask_training

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
_METHODS = {"mask": TrainedScores, "imp": MagnitudeRounds}


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
        if options.num_train_steps and not options.objective().distills:
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
    models = {"dense": _learner(options, data, data.source)}
    if data.mask is not None:
        models["masked"] = _learner(options, data, masks.apply(data.source, data.mask, tied=True))
    size = options.eval_batch_size
    return {name: text_scores.score(model, data, size) for name, model in models.items()}


def _learner(options, data, source):
    model = source.model(kind=MaskLearner, **MLM_HEAD)
    model.learn(options.objective(), data.teacher)
    return model


class _Search:
    """The training of one mask, and what comes of it."""

    def __init__(self, options, data):
        self.options, self.data = options, data
        self.method = _METHODS[options.method](options, data)
        self.model = self.method.model
        self.model.learn(options.objective(), data.teacher)
        self.method.compile(data.task.loss())
        steps = options.num_train_steps, options.save_steps
        self.loop = TrainingLoop(self.model, options.output_dir, *steps, options.keep_checkpoints)

    def run(self):
        """Trains, writes the mask and returns the results."""
        settings = json.dumps(dataclasses.asdict(self.options), indent=2)
        self.eval_seconds = 0.0
        began = time.perf_counter()
        first = self.loop.run(self._batches, [self.method.callback], self._look, settings)
        seconds = time.perf_counter() - began - self.eval_seconds
        logging.info("Searched for %d steps.", self.options.num_train_steps)
        found = self.method.found(self.options.num_train_steps)
        self._write(MASK_FILE, found)
        logging.info("The mask is in %s.", os.path.join(self.options.output_dir, MASK_FILE))
        # What a run took that was stopped is not known.
        return self._results(found, None if first else round(seconds, 1))

    def _batches(self, first):
        self.data.text.total_steps = self.options.num_train_steps
        self.method.begin()
        batches = self.data.text.train_batches(first)
        if self.options.objective().distills:
            batches = batches.map(with_text_weights)
        if self.options.mlm:
            return batches
        return batches.map(lambda features, *rest: (masking.restored(features), *rest))

    def _look(self, step):
        """Scores the masks of a step and writes them."""
        began = time.perf_counter()
        with self.method.thresholded(step) as now:
            scores = self._score(self.model, self.options.eval_blocks)
        if not all(map(math.isfinite, scores.values())):
            raise ValueError(f"The search has diverged at step {step}: {scores}; take lower rates.")
        found = {"zero_rate": mask_training.zero_rate(now), **self.method.changes(now)}
        name = os.path.join(STEPS_FOLDER, f"step-{step}.safetensors")
        self._write(name, self.method.found(step), step=step, scores=scores)
        with self.loop.writer.as_default(step):
            for name, value in {**found, **scores}.items():
                tf.summary.scalar(name, value)
        shown = {name: scores[name] for name in ("eval_loss", "distance") if name in scores}
        self.loop.shown.update(shown)
        self.eval_seconds += time.perf_counter() - began

    def _write(self, name, found, **about):
        path = os.path.join(self.options.output_dir, name)
        settings = {"options": dataclasses.asdict(self.options), **about}
        masks.save(path, self.data.source.config, found, self.options.method, **settings)

    def _results(self, found, seconds):
        options, data = self.options, self.data
        pruned = _learner(options, data, masks.apply(data.source, found, tied=True))
        results = {
            "method": options.method,
            "sparsity": options.sparsity,
            "zero_rate": mask_training.zero_rate(found),
            "steps": options.num_train_steps,
            "seconds": seconds,
            "masked": self._score(pruned),
        }
        if data.has_head and options.mlm and options.method == "mask":
            for path in pruned.head.weights:
                own, theirs = (surgery.named_variables(m)[path] for m in (pruned, self.model))
                own.assign(theirs)
            results["masked_with_its_own_head"] = self._score(pruned)
        return results

    def _score(self, model, num_blocks=0):
        return text_scores.score(model, self.data, self.options.eval_batch_size, num_blocks)
