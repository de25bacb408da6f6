"""Outputs that would replace what the program has not written, or what it reads."""

import itertools
import json
import os
import shutil

from campaign import damage
from campaign.case import Case
from campaign.commands import COMMANDS, PROGRAMS, command, flags_of

# The folder that a program reads, which must not become its output.
_INPUTS = {
    "analyze_tickets": "tickets",
    "attention_patterns": "dense",
    "benchmark": "dense",
    "compare_masks": "masks",
    "diff": "bert",
    "diff_prune": "bert",
    "diff_report": "diffs",
    "evaluate": "dense",
    "factorize": "dense",
    "find_tickets": "dense",
    "finetune": "bert",
    "make_demo_task": "tickets",
    "remove_mask": "gated",
    "share_tickets": "tickets",
    "train_mask": "bert",
    "train_patterns": "maps",
}
_OUTPUTS = ("output_dir", "output_folder_dir", "output")
# Programs that make a folder for each run or version in their output.
_OF_FOLDERS = ("diff_prune", "export", "sweep", "train_tickets")
_SUBFOLDERS = "runs and versions have folders of their own in it, and what lies there stays"

# Programs that do their work within seconds.
_SHORT = ("compare_masks", "factorize", "report", "share_tickets")

_FILES = ("bert/model.safetensors", "bert/bert_config.json", "unrelated/notes.txt", "bert")


def cases():
    """Yields the cases."""
    for program in sorted(COMMANDS):
        flag = next(name for name in _OUTPUTS if name in COMMANDS[program])
        if "overwrite" in flags_of(program):
            file = "unrelated/notes.txt"
            for target in ("unrelated", file, "."):
                changes = {flag: target, "overwrite": True}
                # Of a file even these say that it is one.
                accepted = _SUBFOLDERS if program in _OF_FOLDERS and target != file else None
                yield _case(program, f"overwrite {target}", changes, accepted=accepted)
    for program, (left, make) in itertools.product(_SHORT, _LEFT.items()):
        yield _case(program, left, {}, make, accepted=_LEFT_BY_OTHERS)
    for mode, folder in _INPUTS.items():
        flag = "output_folder_dir" if mode == "remove_mask" else "output_dir"
        changes = {flag: folder, "overwrite": True}
        if mode == "compare_masks":
            changes["masks"] = "a=masks/a.safetensors,b=masks/b.safetensors"
        accepted = _SUBFOLDERS if mode in _OF_FOLDERS else None
        yield _case(mode, f"overwrite its input {folder}", changes, _masks, accepted)
        if mode not in ("compare_masks", "make_demo_task"):
            yield _case(mode, f"into its input {folder}", {flag: folder}, accepted=accepted)
    for target in (
        "bert/model.safetensors",
        "bert/bert_config.json",
        "unrelated/notes.txt",
        "bert",
    ):
        changes = {"output": target, "overwrite": True}
        yield _case("make_mask", f"over {target}", changes)
        yield _case("make_mask", f"without overwrite over {target}", {"output": target})
    for target in ("", "unrelated/notes.txt", "unrelated", "dense"):
        yield _case("make_demo_task", f"into {target!r}", {"output_dir": target})
        yield _case("fetch_minilm", f"into {target!r}", {"output_dir": target})
    for target in ("", "dense", "diffs"):
        changes = {"output_dir": target, "overwrite": True}
        yield _case("make_demo_task", f"overwrite {target!r}", changes)
    for name in ("empty", "half", "a list", "deep", "no JSON", "a pipe"):
        yield _damaged_sweep(name)
    yield _case("analyze_tickets", "a task named ../escaped", _TWO_SEEDS, _escaping)
    yield _case("share_tickets", "a task named ../escaped", {"tickets": "../escaped=tickets"})


def _case(mode, what, changes, prepare=None, accepted=None):
    args = command(mode, **changes)
    uses = ["dense", "SST-2"] if mode in ("analyze_tickets", "sweep", "train_tickets") else []
    if mode == "compare_masks":
        uses += ["mask.safetensors", "other.safetensors"]
    uses += [value for value in changes.values() if value in ("dense", "bert", "diffs", "tickets")]
    names = rf"{'|'.join(name for name in _OUTPUTS)}|folder|file|task"
    return Case(
        "folders",
        PROGRAMS[mode],
        what if mode == PROGRAMS[mode] else f"{mode} {what}",
        args,
        names,
        prepare or _nothing,
        accepted,
        tuple(uses),
        replaces=(".out.lock",),
    )


def _nothing(folder):
    """Leaves the files as they are."""


def _masks(folder):
    """Makes a folder of masks, where the program compares some."""
    (folder / "masks").mkdir()
    for old, new in (("mask", "a"), ("other", "b")):
        if (folder / f"{old}.safetensors").exists():
            os.rename(folder / f"{old}.safetensors", folder / f"masks/{new}.safetensors")


def _lock_is_a_link(folder):
    os.symlink("unrelated/notes.txt", folder / ".out.lock")


def _folder_of(name):
    def make(folder):
        shutil.copytree(folder / "unrelated", folder / name)

    return make


# What lies next to the output by the names that this project uses, and was left by somebody else.
_LEFT = {"lock is a link": _lock_is_a_link, "foreign .out.deleted": _folder_of(".out.deleted")}
_LEFT_BY_OTHERS = "what lies there stays, and the program does its work"


def _damaged_sweep(name):
    changes = {"output_dir": "sweep", "overwrite": True}
    case = _case("sweep", f"damaged sweep.json: {name}", changes)

    def prepare(folder):
        damage.JSON[name](folder / "sweep/sweep.json")

    return Case(case.kind, "sweep", case.what, case.args, "sweep.json", prepare, uses=case.uses)


_TWO_SEEDS = {"tickets_dirs": "tickets,tickets_b"}


def _escaping(folder):
    """Makes tickets of two seeds of a task whose name leads out of the output."""
    for name in ("tickets", "dense"):
        shutil.copytree(folder / name, folder / f"{name}_b")
    flags = folder / "dense_b/run.flags"
    flags.write_text(flags.read_text().replace("--seed=0", "--seed=1"))
    flags = folder / "tickets_b/run.flags"
    flags.write_text(
        flags.read_text().replace("=dense", "=dense_b").replace("=tickets", "=tickets_b")
    )
    for name in ("tickets", "tickets_b"):
        path = folder / name / "tickets.json"
        data = json.loads(path.read_text())
        data["task"]["name"] = "../escaped"
        path.write_text(json.dumps(data))


def _replace(path, old, new):
    path.write_text(path.read_text().replace(old, new))
