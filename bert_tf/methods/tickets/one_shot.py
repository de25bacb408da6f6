"""Tickets in one shot: what importance says of one pass over the data, at every level.

Reference: Super Tickets in Pre-Trained Language Models, arXiv 2105.12002.
"""

import os

import numpy as np
from absl import logging

from bert_tf.methods.tickets import importance_file
from bert_tf.option_fields import items
from bert_tf.surgery import units
from flop_tf.searches import super_tickets

IMPORTANCE_FILE = "importance.json"

#: The kinds of tickets of every level.
KINDS = ("winning", "losing", "random", "random_by_layer")

#: The option with the counts of a level, by kind of unit.
COUNTS = {"heads": "head_counts", "ffn": "ffn_counts", "neurons": "neuron_counts"}

# What a file of importances says of them that belongs to the tickets too.
_MEASURED = ("split", "examples", "reducer", "accumulate")


def levels(finder):
    """Writes winning, losing and random tickets of every level; returns their entries.

    Args:
      finder: a `bert_tf.methods.tickets.finding.Finder`.

    Raises:
      ValueError: if a level is out of range or the file of importances does not fit.
    """
    options, tickets = finder.options, []
    # A level that is out of range comes to light before a pass over the data.
    counts = level_counts(options, finder.source.config)
    if not counts:
        logging.info("No level is named: importances are measured, and no tickets are found.")
    scores = options.normalized(_importance(finder))
    for removed in counts:
        for kind, mask in _tickets(options, scores, removed).items():
            name = ticket_name(kind, removed)
            tickets.append(finder.write(name, kind, units.by_path(mask), removed))
    return tickets


def level_counts(options, config):
    """Returns how many units go at each level, a list of dicts by kind of unit; equal ones once.

    Args:
      options: `FindOptions`.
      config: the `EncoderConfig` of the model.

    Raises:
      ValueError: if a level is out of range, or the counts of the kinds are not equally many.
    """
    whole = units.by_kind(units.full_mask(config, *options.kinds))
    shapes = {kind: mask.shape for kind, mask in whole.items()}
    given = {kind: items(options, COUNTS[kind]) for kind in shapes}
    if not any(given.values()):
        given = _counts_of_percents(items(options, "percents"), shapes, options.min_heads)
    if len({len(counts) for counts in given.values()}) != 1:
        names = [COUNTS[kind] for kind in shapes]
        raise ValueError(
            f"Arguments {' and '.join(f'`{name}`' for name in names)} must have one number for "
            "each level, as many of each of `units`, received "
            f"{' and '.join(repr(getattr(options, name)) for name in names)}."
        )
    for kind, counts in given.items():
        for count in counts:
            least = _least(options, kind)
            super_tickets.check_num_removed(shapes[kind], count, least, COUNTS[kind])
    found = [dict(zip(given, level, strict=True)) for level in zip(*given.values(), strict=True)]
    # Percents that are close, or above what `min_heads` leaves, may ask for the same.
    found = list({level_name(removed): removed for removed in found}.values())
    everything = {kind: mask.size for kind, mask in whole.items()}
    if {"heads", "ffn"} <= set(everything) and everything in found:
        raise ValueError(
            f"A level must leave a head or an FFN of the model, received {level_name(everything)}, "
            "all of them."
        )
    return found


def level_name(removed):
    """Returns the name of a level by what goes: "14-1" for 14 heads and 1 FFN.

    Args:
      removed: dict of the numbers of removed units by kind.
    """
    return "-".join(map(str, removed.values()))


def ticket_name(kind, removed):
    """Returns the name of a ticket, that of its mask file: "winning-14-1".

    Args:
      kind: of the ticket: winning, random, ...
      removed: dict of the numbers of removed units by kind.
    """
    return f"{kind}-{level_name(removed)}"


def _importance(finder):
    """Returns importances by kind of unit, of the file that is named or measured once."""
    options, path = finder.options, finder.options.importance or finder.path(IMPORTANCE_FILE)
    if not options.importance and not os.path.isfile(path):
        logging.info("Measuring the importance over %d examples ...", len(finder.encoded))
        measured = finder.measured()
        scores, importance = measured.measure(finder.encoded, accumulate=options.accumulate)
        about = {"reducer": options.reducer_name, "accumulate": options.accumulate}
        config = finder.source.config
        importance_file.save(path, config, importance, **finder.about, **about, scores=scores)
    importance, measured = importance_file.load(path, finder.source.config)
    # Not what the options say: a file that is named may have been measured otherwise.
    finder.about |= {name: measured[name] for name in _MEASURED if name in measured}
    found = units.by_kind(importance)
    if missing := [kind for kind in options.kinds if kind not in found]:
        raise ValueError(
            f"The file {path!r} must have importances of {', '.join(options.kinds)}, received "
            f"{', '.join(found)}; measure {', '.join(missing)} too."
        )
    return {kind: found[kind] for kind in found if kind in options.kinds}


def _counts_of_percents(percents, shapes, min_heads):
    if "neurons" in shapes:
        return {"neurons": super_tickets.head_counts(percents, *shapes["neurons"], 0)}
    counts = {}
    if "heads" in shapes:
        counts["heads"] = super_tickets.head_counts(percents, *shapes["heads"], min_heads)
    if "ffn" in shapes:
        blocks = super_tickets.block_counts(percents, *shapes["ffn"])
        counts["ffn"] = blocks[: len(counts.get("heads", blocks))]
    return counts


def _tickets(options, scores, counts):
    """Returns the masks of a level by the kind of ticket."""
    rng = np.random.default_rng([options.seed, *counts.values()])
    makers = {
        "winning": super_tickets.winning_mask,
        "losing": super_tickets.losing_mask,
        "random": lambda own, num, least: super_tickets.random_mask(own.shape, num, rng, least),
    }
    found = {
        name: {k: make(own, counts[k], _least(options, k)) for k, own in scores.items()}
        for name, make in makers.items()
    }
    by_layer = {k: super_tickets.random_mask_by_layer(m, rng) for k, m in found["winning"].items()}
    return {**found, "random_by_layer": by_layer}


def _least(options, kind):
    """Returns how many units of a kind each layer keeps."""
    return options.min_heads if kind == "heads" else 0
