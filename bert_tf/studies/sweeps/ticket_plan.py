"""The plan that trains tickets: a fine-tuned BERT, its tickets, and each one trained anew.

A ticket is rewound to the pretrained weights, keeps its mask and has the hyper-parameters and
epochs of the dense model. A level is found by a run of its own, from importances that are measured
once: levels that are added later leave the others as they are.

References: Super Tickets in Pre-Trained Language Models, arXiv 2105.12002; When BERT Plays the
Lottery, All Tickets Are Winning, arXiv 2005.00561.
"""

import dataclasses
import os

from bert_tf.methods.tickets import find_options, finding, one_shot, ticket_file
from bert_tf.studies.sweeps import sweep
from bert_tf.surgery import units

#: The kinds that are trained by default; a method has three of them.
KINDS = ("winning", "good", "random", "losing", "bad")

_LEVELS = ("percents", *one_shot.COUNTS.values())


@dataclasses.dataclass(frozen=True)
class Search:
    """The search for tickets by one method.

    Args:
      method: of `bert_tf.methods.tickets.finding.KINDS`.
      kinds: of its tickets to train.
      flags: of flop-find-tickets, tuple of `--name=value`.
      on_train: whether it measures or scores on training examples.
      levels: of super, a tuple of dicts: the number of removed units by kind.
    """

    method: str
    kinds: tuple
    flags: tuple = ()
    on_train: bool = False
    levels: tuple = ()


def searches(options, kinds=(), flags=(), config=None):
    """Returns the searches of several methods, a list.

    Args:
      options: list of `FindOptions`, one for each method.
      kinds: of tickets to train; empty takes those of `KINDS` that a method has.
      flags: that the options were made from, tuple of `--name=value`; a method gets its own ones.
      config: the `EncoderConfig` of the pretrained model; super needs it.

    Raises:
      ValueError: if a kind or method is named twice or does not fit the others, or a level is out
        of range.
    """
    methods = [one.method for one in options]
    for name, given in (("method", methods), ("kinds", list(kinds))):
        if len(set(given)) < len(given):
            raise ValueError(f"Argument `{name}` must name each one once, received {given}.")
    found = {method: finding.KINDS[method] for method in methods}
    unknown = set(kinds) - {kind for known in found.values() for kind in known}
    if unknown or (kinds and not all(set(kinds) & set(known) for known in found.values())):
        lists = "; ".join(f"{method}: {', '.join(known)}" for method, known in found.items())
        raise ValueError(
            f"Argument `kinds` must name kinds of tickets, some of each method ({lists}), received "
            f"{list(kinds)}."
        )
    shared = tuple(one for one in flags if one.removeprefix("--").split("=")[0] not in _LEVELS)
    return [
        Search(
            one.method,
            tuple(kind for kind in kinds or KINDS if kind in finding.KINDS[one.method]),
            find_options.flags_of(one.method, shared),
            one.split_name == "train",
            _levels(one, config) if one.method == "super" else (),
        )
        for one in options
    ]


def plan(task, settings, found, seeds=(0,), pruned=False):
    """Plans all runs of a task, in the folders `TASK/seedSEED/...`.

    | folder | holds |
    |---|---|
    | `dense` | the fine-tuned model |
    | `tickets/METHOD` | the tickets of a search; of super the importances |
    | `tickets/super-LEVEL` | the tickets of a level |
    | `retrained/METHOD-TICKET` | a ticket trained from the pretrained weights |
    | `pruned/METHOD-TICKET` | the fine-tuned model under a ticket's mask |

    Args:
      task: a `bert_tf.studies.sweeps.sweep.SweepTask`.
      settings: a `bert_tf.studies.sweeps.sweep.Settings`.
      found: list of `Search`.
      seeds: ints.
      pruned: whether tickets are scored without training too.

    Returns:
      List of `bert_tf.studies.sweeps.sweep.Run`, in an order in which each one comes after those
      that it needs.

    Raises:
      ValueError: if there is no seed or one is named twice.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(
            f"Argument `seeds` must name at least one seed and each once, received {list(seeds)}."
        )
    runs = []
    for seed in seeds:
        chain = _Chain(task, settings, f"{task.name}/seed{seed}/", seed)
        runs.append(chain.dense())
        for search in found:
            runs += chain.tickets(search, pruned)
    return runs


def _levels(options, config):
    """Returns the levels of super, those left out that remove nothing."""
    counts = one_shot.level_counts(options, config)
    levels = tuple(removed for removed in counts if any(removed.values()))
    if not levels:
        whole = units.by_kind(units.full_mask(config, *options.kinds))
        raise ValueError(
            "Argument `percents` must have a level that removes a unit of the model, received "
            f"{options.percents!r}, of {' and '.join(str(one.size) for one in whole.values())} "
            f"{' and '.join(whole)}."
        )
    return levels


class _Chain(sweep.Chain):
    """The runs of one task and seed."""

    def tickets(self, search, pruned):
        """Returns the runs that find the tickets of a method and train them."""
        first = self._find(search.method, "importance" if search.levels else "tickets", search)
        if not search.levels:
            names = {kind: kind for kind in search.kinds}
            return [first, *self._trained(search.method, first, names, pruned)]
        runs = [first]
        measured = self._path(first, one_shot.IMPORTANCE_FILE)
        for removed in search.levels:
            counts = {one_shot.COUNTS[kind]: count for kind, count in removed.items()}
            given = (f"--importance={measured}", *(f"--{n}={count}" for n, count in counts.items()))
            name = f"super-{one_shot.level_name(removed)}"
            level = self._find(name, "tickets", search, given, (first.name,))
            names = {kind: one_shot.ticket_name(kind, removed) for kind in search.kinds}
            runs += [level, *self._trained("super", level, names, pruned)]
        return runs

    def _find(self, name, stage, search, given=(), needs=()):
        dense = f"{self.place}dense"
        # Examples that a training holds out or leaves out must not decide its tickets.
        held = sweep.passed_on(self.given, find_options.TRAINING_EXAMPLES)
        given = (
            *search.flags,
            *(held if search.on_train else ()),
            f"--method={search.method}",
            f"--model_dir={self.settings.path(dense)}",
            self.common[-1],
            # Without any, super measures importances and finds no tickets yet.
            *(("--percents=",) if search.method == "super" else ()),
            *given,
        )
        return self.run(stage, "find_tickets", given, (dense, *needs), f"tickets/{name}")

    def _trained(self, method, source, names, pruned):
        """Yields the runs of the tickets that a run finds, given by kind."""
        dense = f"{self.place}dense"
        for name in names.values():
            mask = f"--mask={self._path(source, ticket_file.mask_file(name))}"
            ways = {"retrained": (self.settings.bert_dir, (), ())}
            if pruned:
                ways["pruned"] = (self.settings.path(dense), ("--do_train=false",), (dense,))
            for stage, (start, more, needs) in ways.items():
                flags = (*self.task.dense, *self.training, f"--init_checkpoint={start}")
                given, needs = (*flags, mask, *more), (*needs, source.name)
                yield self.run(stage, "finetune", given, needs, f"{stage}/{method}-{name}")

    def _path(self, run, name):
        return os.path.join(self.settings.path(run.name), name)
