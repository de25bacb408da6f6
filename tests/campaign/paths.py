"""Paths that lead to nothing, to another kind of thing, or to what never ends."""

import itertools
import os

from campaign.case import Case
from campaign.commands import COMMANDS, MODES, PROGRAMS, command

# Flags with what is read, beyond those of `COMMANDS`, and what they need next to them.
_MORE = {
    "analyze_tickets": {"patterns": {}},
    "benchmark": {"bert_config_file": {"training": True, "model_dirs": None}},
    "classify": {"mask": {}},
    "evaluate": {"mask": {}},
    "factorize": {"mask": {}, "vocab_file": {}, "bert_config_file": {}},
    "find_tickets": {"importance": {}},
    "finetune": {"mask": {}, "vocab_file": {}, "bert_config_file": {}, "teacher": {}},
    "make_mask": {"bert_config_file": {}},
    "sweep": {"configs_dir": {}, "finetune_flags": {}},
    "train_mask": {"teacher": {}, "vocab_file": {}, "importance": {"units": "heads"}},
    "train_tickets": {"configs_dir": {}},
}
_READ = {
    *("base", "bert_dir", "checkpoint", "data_dir", "diff", "diffs", "glue_dir"),
    *("init_checkpoint", "labels", "latency_table", "maps", "masks", "model_dir", "model_dirs"),
    *("patterns", "runs_dir", "tickets", "tickets_dirs"),
}
_WRITTEN = {"output", "output_dir", "output_folder_dir"}
# Left out, they have a default or mean that nothing is written.
_OPTIONAL = {("evaluate", "output_dir"), ("compare_masks", "output_dir"), ("report", "output_dir")}

_BAD_SOURCES = (
    "nowhere",
    "unrelated",
    "unrelated/notes.txt",
    "pipe",
    "loop",
    "unrelated/notes.txt/below",
    "/dev/zero",
    "unrelated/deep/data.bin",
)
_BAD_TARGETS = ("unrelated/notes.txt", "unrelated/notes.txt/out", "pipe", "loop", "/proc/out", "")

# Of a flag that has several paths or words: what stands around one of them.
_AROUND = {
    "masks": "a=mask.safetensors,b={}",
    "tickets": "SST-2={},CoLA=",
    "finetune_flags": "--flagfile={}",
}


def cases():
    """Yields each flag with some of the bad paths, which take turns."""
    sources, targets = itertools.cycle(_BAD_SOURCES), itertools.cycle(_BAD_TARGETS)
    for mode in (*sorted(COMMANDS), *MODES):
        flags = {name: {} for name in (COMMANDS.get(mode) or MODES[mode]) if name in _READ}
        for flag, others in {**flags, **_MORE.get(mode, {})}.items():
            for path in itertools.islice(sources, 2):
                yield _case(mode, flag, path, others)
        for flag in _WRITTEN & (COMMANDS.get(mode) or MODES[mode]).keys():
            for path in itertools.islice(targets, 2):
                if path or (mode, flag) not in _OPTIONAL:
                    yield _case(mode, flag, path)


def _case(mode, flag, path, others=None):
    args = command(mode, **{**(others or {}), flag: _AROUND.get(flag, "{}").format(path)})
    parts = [part for part in path.split("/") if part] or ["output folder"]
    named = "|".join([rf"\b{flag}\b", *parts])
    if mode in ("sweep", "train_tickets") and path.startswith("unrelated"):
        named += "|no_such_flag"  # What a folder holds is looked at by the run that needs it.
    uses = ("SST-2", "dense") if mode in ("sweep", "train_tickets", "analyze_tickets") else ()
    what = f"{mode} {flag}={path}"
    return Case("paths", PROGRAMS[mode], what, args, named, _prepare, uses=uses)


def _prepare(folder):
    os.mkfifo(folder / "pipe")
    os.symlink("loop", folder / "loop")
