"""Tickets in one shot: what importance says of one pass over the data, at every level.

Reference: Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
"""

import os

import numpy as np
from absl import logging

from bert_tf.pruning import units
from bert_tf.tickets import importance_file
from flop_tf import super_tickets

IMPORTANCE_FILE = "importance.json"


def levels(finder):
    """Writes winning, losing and random tickets of every level; returns what they are.

    Args:
      finder: a `bert_tf.tickets.finding.Finder`.

    Raises:
      ValueError: if a level is out of range.
    """
    scores = finder.options.normalized(units.by_kind(_importance(finder)))
    tickets = []
    for removed in _counts(finder.options, scores):
        level = "-".join(map(str, removed.values()))
        for kind, mask in _tickets(finder.options, scores, removed).items():
            name = f"{kind}-{level}"
            tickets.append(finder.write(name, kind, units.by_path(mask), removed))
    return tickets


def _importance(finder):
    """Returns importances by path, measured once."""
    options, path = finder.options, finder.path(IMPORTANCE_FILE)
    if not os.path.isfile(path):
        logging.info("Measuring the importance over %d examples ...", len(finder.encoded))
        measured = finder.measured()
        scores, importance = measured.measure(finder.encoded, accumulate=options.accumulate)
        about = {"reducer": options.reducer_name, "accumulate": options.accumulate}
        config = finder.source.config
        importance_file.save(path, config, importance, **finder.about, **about, scores=scores)
    return importance_file.load(path, finder.source.config)[0]


def _counts(options, scores):
    """Returns for each level how many units of each kind go."""
    percents = options.numbers("percents")
    if "neurons" in scores:
        return [
            {"neurons": count}
            for count in super_tickets.head_counts(percents, *scores["neurons"].shape, 0)
        ]
    given = {}
    for kind, name in (("heads", "head_counts"), ("ffn", "ffn_counts")):
        if kind in scores and getattr(options, name):
            given[kind] = options.numbers(name, int)
    if not given:
        if "heads" in scores:
            shape = scores["heads"].shape
            given["heads"] = super_tickets.head_counts(percents, *shape, options.min_heads)
        if "ffn" in scores:
            blocks = super_tickets.block_counts(percents, len(scores["ffn"]))
            given["ffn"] = blocks[: len(given.get("heads", blocks))]
    if set(given) != set(scores) or len({len(counts) for counts in given.values()}) != 1:
        raise ValueError(
            "Arguments `head_counts` and `ffn_counts` must have one number for each level, as "
            f"many of each of `units`, received {options.head_counts!r} and "
            f"{options.ffn_counts!r}."
        )
    return [dict(zip(given, level, strict=True)) for level in zip(*given.values(), strict=True)]


def _tickets(options, scores, counts):
    """Returns the masks of a level by the kind of ticket."""
    rng = np.random.default_rng([options.seed, *counts.values()])
    least = {kind: options.min_heads if kind == "heads" else 0 for kind in scores}
    winning = {
        kind: super_tickets.winning_mask(scores[kind], counts[kind], least[kind]) for kind in scores
    }
    return {
        "winning": winning,
        "losing": {
            kind: super_tickets.losing_mask(scores[kind], counts[kind], least[kind])
            for kind in scores
        },
        "random": {
            kind: super_tickets.random_mask(scores[kind].shape, counts[kind], rng, least[kind])
            for kind in scores
        },
        "random_by_layer": {
            kind: super_tickets.random_mask_by_layer(mask, rng) for kind, mask in winning.items()
        },
    }
