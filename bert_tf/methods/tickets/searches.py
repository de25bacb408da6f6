"""Tickets step by step: the smallest subnetworks whose score stays above a threshold.

Each step is written to `steps.json`, from where a search goes on.
Reference: When BERT Plays the Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import os
import typing

import msgspec
import numpy as np
from absl import logging

from bert_tf.runs import evaluation
from bert_tf.surgery import masks, units
from flop_tf import files
from flop_tf.files import json_file
from flop_tf.linalg import magnitude
from flop_tf.searches import lottery as unit_search
from flop_tf.searches import subnetworks

STEPS_FILE = "steps.json"

#: The kinds of tickets, by what finds them; the names of the tickets are the same.
LOTTERY_KINDS = ("good", "random", "bad", "inverted")
MAGNITUDE_KINDS = ("good", "random", "bad")

# What masks are made of in `steps.json`.
_BIT = typing.Literal[0, 1]


def lottery(finder):
    """Writes the good subnetwork of units and those of its size to compare it with.

    Args:
      finder: a `bert_tf.methods.tickets.finding.Finder`.

    Returns:
      What was written, plain data.

    Raises:
      ValueError: if the score of the whole model is not above 0.
    """
    options, config = finder.options, finder.source.config
    shape = (config.num_hidden_layers, config.num_attention_heads)
    num_heads = shape[0] * shape[1]
    phases = {
        ("heads",): unit_search.heads_phases(num_heads, options.amount),
        ("ffn",): unit_search.blocks_phases(),
    }.get(options.kinds) or unit_search.joint_phases(num_heads, options.amount)
    measured = finder.measured()

    def measure(found):
        kept = {"heads": found.heads, "ffn": found.blocks}
        mask = units.by_path({kind: kept[kind] for kind in options.kinds})
        scores, importance = measured.measure(finder.encoded, mask, options.accumulate)
        normal = options.normalized(units.by_kind(importance))
        found = unit_search.Units(normal.get("heads"), normal.get("ffn"))
        return scores[finder.task.primary_metric], found

    both = unit_search.one_pass(measure)
    steps = _recorded(
        finder,
        {
            "phase": json_file.Count,
            "heads": _of_length(shape[0], _of_length(shape[1], _BIT)),
            "blocks": _of_length(shape[0], _BIT),
        },
        lambda done: unit_search.search(*both, shape, phases, options.threshold, done),
    )
    last = unit_search.final_masks(steps)
    if not last.heads.any() and not last.blocks.any():
        logging.warning(
            "The search left no head and no FFN: %s stayed at %g of the whole model's %.4f or "
            "above. This model knows little of the task; train it longer or raise the threshold.",
            finder.task.primary_metric,
            options.threshold,
            steps[0]["score"],
        )
    kept = {"heads": last.heads, "ffn": last.blocks}
    rng = np.random.default_rng(options.seed)
    good = {kind: kept[kind] for kind in options.kinds}
    found = {
        "good": good,
        "random": {k: subnetworks.random_subnetwork(mask, rng) for k, mask in good.items()},
        "bad": {k: subnetworks.bad_subnetwork(mask, rng) for k, mask in good.items()},
        "inverted": {k: subnetworks.inverted_subnetwork(mask) for k, mask in good.items()},
    }
    return [
        finder.write(kind, kind, units.by_path(mask), {k: int(np.sum(~m)) for k, m in mask.items()})
        for kind, mask in found.items()
    ]


def largest_weights(finder):
    """Writes the mask of the largest weights that keep the score, and a random and a bad one.

    Args:
      finder: a `bert_tf.methods.tickets.finding.Finder`.

    Returns:
      What was written, plain data.

    Raises:
      ValueError: if the score of the whole model is not above 0.
    """
    options, kernels = finder.options, masks.kernels(finder.source)
    included = {path: kernel for path, kernel in kernels.items() if options.includes(path)}
    whole = {path: np.ones(kernel.shape, bool) for path, kernel in included.items()}
    model = masks.apply(finder.source, whole).model()
    gates = {
        f"{path}.kernel": layer.gate
        for path, layer in model.encoder.projections()
        if options.includes(f"{path}.kernel")
    }

    def evaluate(found):
        for path, mask in found.items():
            gates[path].values.assign(mask)
        logits = evaluation.predict(model, finder.encoded, options.batch_size)
        return finder.task.score(logits, finder.encoded)[finder.task.primary_metric]

    total = sum(kernel.size for kernel in included.values())
    survivors = magnitude.survivor_counts(
        total,
        options.amount,
        options.max_steps,
        options.of_total,
        min_survivors=round(options.min_kept * total),
    )
    steps = _recorded(
        finder,
        {"num_kept": typing.Annotated[int, msgspec.Meta(ge=0, le=total)]},
        lambda done: magnitude.search(evaluate, included, survivors, options.threshold, done),
    )
    kept = [step for step in steps if step["passed"]][-1]["num_kept"]
    rng = np.random.default_rng([options.seed, kept])
    found = {
        "good": magnitude.good_masks(included, kept),
        "random": magnitude.random_masks(included, kept, rng),
        "bad": magnitude.bad_masks(included, kept),
    }
    removed = {"weights": total - kept}
    return [finder.write(kind, kind, mask, removed) for kind, mask in found.items()]


def _of_length(length, shape):
    return typing.Annotated[list[shape], msgspec.Meta(min_length=length, max_length=length)]


def _recorded(finder, fields, search):
    """Returns all steps of a search, a function of the steps that were made before.

    Args:
      finder: a `bert_tf.methods.tickets.finding.Finder`.
      fields: types of what a step has besides `score` and `passed`, by name.
      search: the function.
    """
    path, steps = finder.path(STEPS_FILE), []
    if os.path.lexists(path):
        shape = typing.TypedDict("Step", {"score": json_file.Number, "passed": bool, **fields})
        advice = "delete it, then the search starts again"
        steps = json_file.read(path, list[shape], "record of a search", advice)
        if steps and not steps[0]["passed"]:
            raise ValueError(
                f"The record of a search {path!r} must begin with the whole model, which passes, "
                f"received another first step; {advice}."
            )
    for step in search(tuple(steps)):
        steps.append(step)
        files.write_json(path, steps)
        outcome = "passed" if step["passed"] else "failed"
        metric = finder.task.primary_metric
        logging.info("Step %d: %s %.4f, %s.", len(steps) - 1, metric, step["score"], outcome)
    return steps
