"""The plan of a sweep: the FLOP chain over tasks, learning rates, seeds and target sparsities.

A plan is a list of runs, plain data: program, flags, folder, and the runs that come before. Runs
share what they have in common: a dense model for each task, learning rate and seed, one factorized
model from it, and from that one pruned model for each sparsity.
"""

import dataclasses
import itertools
import os

from bert_tf import flag_files
from bert_tf.checkpoints import model_dir
from bert_tf.methods.compress import stages as compression
from bert_tf.methods.compress.compress_options import CompressOptions
from bert_tf.methods.tickets import ticket_file
from bert_tf.option_fields import names
from bert_tf.runs import run_scores
from bert_tf.serving import versions
from bert_tf.tasks.task import plain
from flop_tf.registry import nearest

#: The file that each program writes last.
DONE_FILES = {
    "finetune": run_scores.RESULTS_FILE,
    "factorize": model_dir.INFO_FILE,
    "find_tickets": ticket_file.TICKETS_FILE,
    "remove_mask": model_dir.INFO_FILE,
    "evaluate": "scores.json",
    "benchmark": "benchmark.json",
    "export": os.path.join("1", versions.REPORT_FILE),
    "compress": compression.REPORT,
}

_TITLES = {
    "dense": "fine-tune the dense model",
    "factorized": "factorize",
    "gated": "train gates and weights",
    "compact": "remove what the gates closed",
    "final": "fine-tune the compact model",
    "predictions": "evaluate the result",
    "benchmark": "dense and pruned, on each engine",
    "export": "export for serving",
    "dense_export": "export the dense model, to compare with",
    "compressed": "half of the milliseconds in int8, next to it",
    "importance": "measure the importance of units",
    "tickets": "find tickets",
    "retrained": "train a ticket from the pretrained weights",
    "pruned": "score a ticket without training",
}

# Of the flags of fine-tuning, those that a compression takes over.
_PASSED_ON = ("max_seq_length", "train_batch_size", "length_buckets")

#: The flag files of a method, in a folder of configs, by the task.
_COMPOSED = {
    "finetune": ("tasks/{}.flags",),
    "flop": ("tasks/{}.flags", "methods/flop.flags"),
}


@dataclasses.dataclass(frozen=True)
class SweepTask:
    """A task of a sweep.

    Args:
      name: as the programs write it, such as "SST-2".
      data: flags that say where its examples are.
      dense: flags of dense fine-tuning, see `read_flags`.
      flop: flags of pruning.
    """

    name: str
    data: tuple
    dense: tuple
    flop: tuple


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings that all runs of a plan share.

    Args:
      folder: the sweep's folder.
      bert_dir: the pretrained BERT.
      epochs: of dense and gated training, as text; None leaves those of the task.
      finetune: more flags of every training.
      benchmark: flags of the comparison of dense and pruned models; None leaves it out.
      export: more flags of the exports of `single`; None leaves them out.
      compress: flags of the compression of `single`; None leaves it out.
    """

    folder: str
    bert_dir: str
    epochs: str | None = None
    finetune: tuple = ()
    benchmark: tuple | None = ()
    export: tuple | None = ()
    compress: tuple | None = None

    def path(self, name):
        """Returns the folder of a run.

        Args:
          name: of the run, its folder inside the sweep's.
        """
        return os.path.join(self.folder, name)


@dataclasses.dataclass(frozen=True)
class Run:
    """One call of a program.

    Args:
      task: name of the task.
      name: the run's folder inside the sweep's, such as "RTE/lr5e-5-seed0/gated-0.6".
      stage: key of `_TITLES`, such as "gated".
      program: file in `tools`, such as "finetune".
      flags: tuple of `--name=value`.
      needs: names of the runs whose folders it reads.
      repeats: whether it runs again though nothing has changed.
    """

    task: str
    name: str
    stage: str
    program: str
    flags: tuple
    needs: tuple = ()
    repeats: bool = False

    @property
    def title(self):
        """The purpose of the run, in words."""
        return _TITLES[self.stage]

    @property
    def done_file(self):
        """The path of the file that it writes last, inside the sweep's folder."""
        return os.path.join(self.name, DONE_FILES[self.program])


def read_flags(configs_dir, task):
    """Returns the flags of dense fine-tuning and of pruning for a task, two tuples.

    They are those of `tasks/TASK.flags` and, for pruning, of `methods/flop.flags` after it. A pair
    with values of its own has a file, `finetune_TASK.flags` or `flop_TASK.flags`, which counts
    instead.

    Args:
      configs_dir: folder of the flag files.
      task: name of a task in any spelling, or the stem of its file.

    Raises:
      ValueError: if there are no such files.
    """
    stem = plain(task)
    known = _known_tasks(configs_dir)
    if not known:
        raise ValueError(
            f"The folder {str(configs_dir)!r} holds no `tasks/TASK.flags` and "
            "`methods/flop.flags`; pass the folder `configs` of a clone as `--configs_dir`."
        )
    if stem not in known:
        path = os.path.join(configs_dir, "tasks", f"{stem}.flags")
        raise ValueError(
            f"The task {task!r} needs the flag file {path!r}, which does not "
            f"exist{nearest(stem, known)} Write that file, or name one of {sorted(known)}."
        )
    found = []
    for method, files in _COMPOSED.items():
        pair = os.path.join(configs_dir, f"{method}_{stem}.flags")
        parts = [os.path.join(configs_dir, file.format(stem)) for file in files]
        paths = [pair] if os.path.isfile(pair) else parts
        found.append(tuple(flag_files.expanded([f"--flagfile={path}" for path in paths])))
    return found


def value(given, name):
    """Returns the last value of a flag among `--name=value`s, or None.

    Args:
      given: list or tuple of `--name=value`s.
      name: of the flag.
    """
    prefix = f"--{name}="
    return next((f.removeprefix(prefix) for f in reversed(given) if f.startswith(prefix)), None)


def passed_on(given, names):
    """Returns the named flags among `--name=value`s, a tuple of the same form.

    Args:
      given: list or tuple of `--name=value`s.
      names: of the flags to look for.
    """
    found = {name: value(given, name) for name in names}
    return tuple(f"--{name}={one}" for name, one in found.items() if one is not None)


def short_number(number):
    """Returns a number, or its text, as the names of folders have it: 5e-5, 0.6.

    Args:
      number: float, or text that is one.
    """
    return f"{float(number):.15g}".replace("e-0", "e-")


def single(task, settings, sparsity=None):
    """Plans one pruned model, with a folder for each stage.

    Args:
      task: a `SweepTask`.
      settings: `Settings`.
      sparsity: to reach; None takes the task's.

    Returns:
      List of `Run`.
    """
    chain = _FlopChain(task, settings)
    shared = chain.shared()
    pruned = chain.pruned(sparsity)
    final = pruned[-1].name
    model = (*task.data, f"--model_dir={settings.path(final)}")
    predictions = chain.run("predictions", "evaluate", model, (final,))
    exports = [] if settings.export is None else _exports(chain, final, settings.benchmark)
    compared = _benchmark(task, settings, "benchmark", ["dense", final], exports)
    repeated = [dataclasses.replace(run, repeats=True) for run in compared]
    compressed = [] if settings.compress is None else [_compressed(chain, final, exports)]
    return [*shared, *pruned, predictions, *exports, *repeated, *compressed]


def grid(tasks, settings, learning_rates=(), sparsities=(), seeds=(0,)):
    """Plans every combination, in the folders `TASK/lrRATE-seedSEED/STAGE-SPARSITY`.

    Args:
      tasks: list of `SweepTask`.
      settings: `Settings`.
      learning_rates: of dense and gated training, as text; empty takes each task's.
      sparsities: to reach, as text; empty takes each task's.
      seeds: ints.

    Returns:
      List of `Run`, each one after the runs that it needs.

    Raises:
      ValueError: if two runs would share a folder.
    """
    runs = []
    for task in tasks:
        compared = []
        for rate, seed in itertools.product(learning_rates or [None], seeds):
            shown = rate or value(task.dense, "learning_rate")
            place = f"{task.name}/lr{short_number(shown)}-seed{seed}/"
            chain = _FlopChain(task, settings, place, seed, rate)
            runs += chain.shared()
            compared = compared or [f"{place}dense"]  # All dense models are equally fast.
            for sparsity in sparsities or [value(task.flop, "target_sparsity")]:
                pruned = chain.pruned(sparsity, f"-{short_number(sparsity)}")
                compared.append(pruned[-1].name)
                runs += pruned
        runs += _benchmark(task, settings, f"{task.name}/benchmark", compared)
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            "Each task, learning rate, sparsity and seed must be named once, received "
            f"{twice[0]!r} twice."
        )
    return runs


class Chain:
    """The runs of one task and seed; each plan adds what comes after the dense model.

    Attributes:
      given: flags of dense fine-tuning, of the task and of the settings.
      common: flags of every run that reads the task's examples.
      training: those and the flags of every long training.

    Args:
      task: a `SweepTask`.
      settings: `Settings`.
      place: the beginning of the names of the runs.
      seed: int.
      rate: learning rate of every long training; None takes the task's.
    """

    def __init__(self, task, settings, place="", seed=0, rate=None):
        self.task, self.settings, self.place = task, settings, place
        self.given = (*task.dense, *settings.finetune)
        self.common = (*settings.finetune, *task.data, f"--seed={seed}")
        changed = {"learning_rate": rate, "num_train_epochs": settings.epochs}
        self.training = (*self.common, *(f"--{name}={v}" for name, v in changed.items() if v))

    def dense(self):
        """Returns the run that fine-tunes the dense model."""
        start = f"--init_checkpoint={self.settings.bert_dir}"
        return self.run("dense", "finetune", (*self.task.dense, *self.training, start))

    def run(self, stage, program, given, needs=(), name=None):
        """Returns a run.

        Args:
          stage: see `Run`; so `program`.
          program: see above.
          given: its flags, without the one of the output folder.
          needs: names of the runs whose folders it reads.
          name: of its folder, after the beginning; None is the stage.
        """
        name = f"{self.place}{name or stage}"
        output = "output_folder_dir" if program == "remove_mask" else "output_dir"
        given = (*given, f"--{output}={self.settings.path(name)}")
        return Run(self.task.name, name, stage, program, given, needs)


class _FlopChain(Chain):
    """The runs of one task, seed and learning rate, which is of dense and gated training."""

    def shared(self):
        """Returns the runs that all sparsities start from."""
        dense = self.dense()
        # Calibration must leave out what a training holds out.
        held = passed_on(self.given, ("holdout_examples", "holdout_seed"))
        start = f"--checkpoint={self.settings.path(dense.name)}"
        given = (*held, *self.task.data, self.common[-1], "--finetuned", start)
        return [dense, self.run("factorized", "factorize", given, (dense.name,))]

    def pruned(self, sparsity, suffix=""):
        """Returns the runs that end in one compact model."""
        path = self.settings.path
        dense, factorized = f"{self.place}dense", f"{self.place}factorized"
        teacher = f"--teacher={path(dense)}"
        target = [f"--target_sparsity={sparsity}"] if sparsity else []
        start = f"--init_checkpoint={path(factorized)}"
        given = (*self.task.flop, *self.training, *target, teacher, start)
        needs = (dense, factorized)
        gated = self.run("gated", "finetune", given, needs, f"gated{suffix}")
        given, needs = (f"--checkpoint={path(gated.name)}",), (gated.name,)
        compact = self.run("compact", "remove_mask", given, needs, f"compact{suffix}")
        # The weights have recovered under the fixed gates already: the last step is short and slow,
        # with the original's rate. At 1e-5 it lost up to 2 points of RTE and STS-B.
        last = ("--learning_rate=1e-6", "--num_train_epochs=1")
        start = f"--init_checkpoint={path(compact.name)}"
        given = (*self.task.dense, *self.common, *last, teacher, start)
        needs = (dense, compact.name)
        return [gated, compact, self.run("final", "finetune", given, needs, f"final{suffix}")]


def _exports(chain, final, benchmark):
    """Returns the runs that export a model and, if speed is compared, the dense one."""
    runs = []
    for stage, source in {"dense_export": chain.dense().name, "export": final}.items():
        if stage == "export" or benchmark is not None:
            model = f"--model_dir={chain.settings.path(source)}"
            # An export of another model takes the place of the last one.
            given = (*chain.task.data, model, *_tables(chain, runs), *chain.settings.export)
            needs = (source, *(run.name for run in runs))
            runs.append(chain.run(stage, "export", (*given, "--overwrite"), needs))
    return runs


def _tables(chain, exports):
    """Returns the flag that names the latency tables of the first of some exports, a tuple."""
    return tuple(f"--latency_table={chain.settings.path(run.name)}/1" for run in exports[:1])


def _compressed(chain, final, exports):
    """Returns the run that makes a smaller model for an engine, next to a pruned one."""
    settings, dense = chain.settings, chain.dense().name
    shapes = {
        value(flags, "optimize_for") or CompressOptions.optimize_for
        for flags in (settings.export, settings.compress)
    }
    # What is left out for its speed has no tables, and those of another shape do not fit.
    measured = exports[: len(exports) - 1] if len(shapes) == 1 else []
    given = (
        *passed_on(chain.given, _PASSED_ON),
        # Others are of trainings alone.
        *passed_on(settings.finetune, names(CompressOptions)),
        *chain.task.data,
        chain.common[-1],
        f"--init_checkpoint={settings.path(dense)}",
        f"--baselines={settings.path(final)}",
        "--dense_engines=same",
        *_tables(chain, measured),
        *settings.compress,
    )
    needs = (dense, final, *(run.name for run in measured))
    return chain.run("compressed", "compress", given, needs)


def _benchmark(task, settings, name, compared, exports=()):
    """Returns the run that compares models and, on every engine at hand, exports."""
    if settings.benchmark is None:
        return []
    versions_of = [os.path.join(run.name, "1") for run in exports]
    folders = ",".join(settings.path(path) for path in [*compared, *versions_of])
    compared = [*compared, *(run.name for run in exports)]
    # A measurement of other models takes the place of the last one.
    given = (
        f"--model_dirs={folders}",
        *(["--engines=auto"] if exports else []),
        *settings.benchmark,
        f"--output_dir={settings.path(name)}",
        "--overwrite",
    )
    return [Run(task.name, name, "benchmark", "benchmark", given, tuple(compared))]


def _known_tasks(configs_dir):
    """Returns the names of the tasks that a folder has all flag files for, a set."""
    files = set(os.listdir(configs_dir)) if os.path.isdir(configs_dir) else set()
    pruned = {name.removeprefix("flop_") for name in files if name.startswith("flop_")}
    pairs = {name for name in pruned if f"finetune_{name}" in files}
    tasks = os.path.join(configs_dir, "tasks")
    if os.path.isfile(os.path.join(configs_dir, _COMPOSED["flop"][1])) and os.path.isdir(tasks):
        pairs.update(os.listdir(tasks))
    return {name.removesuffix(".flags") for name in pairs if name.endswith(".flags")}
