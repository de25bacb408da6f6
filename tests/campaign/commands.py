"""A command of each program that does its work, from which bad ones are made."""

import functools
import importlib

from absl import flags

_FINETUNE = {
    "task_name": "SST-2",
    "data_dir": "SST-2",
    "init_checkpoint": "bert",
    "output_dir": "out",
    "max_seq_length": 16,
    "train_batch_size": 8,
    "num_train_epochs": 0.4,
}
# A plan whose first run fails: that it was started at all can be told, and takes seconds.
_PLAN = {"bert_dir": "bert", "output_dir": "out", "finetune_flags": "--no_such_flag=1"}

#: Flags by program; the empty name is the word after the program's name.
COMMANDS = {
    "analyze_tickets": {
        "tickets_dirs": "tickets",
        "method": "super",
        "ticket": "winning-1-0",
        "output_dir": "out",
    },
    "attention_patterns": {
        "attention": True,
        "model_dir": "dense",
        "data_dir": "SST-2",
        "num_texts": 1,
        "output_dir": "out",
    },
    "benchmark": {
        "model_dirs": "dense",
        "batch_sizes": 1,
        "lengths": 8,
        "rounds": 1,
        "warmup_rounds": 0,
        "memory": False,
        "output_dir": "out",
    },
    "compare_masks": {"masks": "a=mask.safetensors,b=other.safetensors", "output_dir": "out"},
    "diff": {"": "apply", "diff": "diffs/finetune-0.1", "base": "bert", "output_dir": "out"},
    "diff_prune": {"": "learn", **_FINETUNE},
    "evaluate": {"model_dir": "dense", "data_dir": "SST-2", "output_dir": "out"},
    "export": {
        "model_dir": "dense",
        "data_dir": "SST-2",
        "output_dir": "out",
        "dev_examples": 4,
        "optimize_for": "2x8",
        "latency_table": "table.json",
        "format": "litert_float32",
    },
    "factorize": {"checkpoint": "dense", "rank": 2, "output_dir": "out"},
    "fetch_minilm": {"output_dir": "out"},
    "find_tickets": {
        "model_dir": "dense",
        "data_dir": "SST-2",
        "percents": 50,
        "examples": 8,
        "output_dir": "out",
    },
    "finetune": _FINETUNE,
    "make_demo_task": {"output_dir": "out", "num_train": 8, "num_dev": 4, "num_test": 4},
    "make_mask": {"checkpoint": "bert", "output": "out.safetensors", "sparsity": 0.5},
    "remove_mask": {"checkpoint": "gated", "output_folder_dir": "out", "data_dir": "SST-2"},
    "report": {"runs_dir": "sweep", "output_dir": "out"},
    "share_tickets": {
        "tickets": "SST-2=tickets/masks/winning-1-0.safetensors,CoLA=",
        "output_dir": "out",
    },
    "sweep": {"tasks": "SST-2", "glue_dir": ".", "sparsities": 0.3, **_PLAN},
    "train_mask": {
        "data_dir": "text",
        "init_checkpoint": "bert",
        "output_dir": "out",
        "train_head": True,
        "head_steps": 1,
        "num_train_steps": 1,
        "max_seq_length": 8,
        "train_batch_size": 4,
    },
    "train_tickets": {"task_name": "SST-2", "data_dir": "SST-2", "percents": 50, **_PLAN},
}

#: Modes of programs that have several: their own flags.
MODES = {
    "classify": {
        "patterns": "classifier",
        "model_dir": "dense",
        "data_dir": "SST-2",
        "num_texts": 1,
        "output_dir": "out",
    },
    "train_patterns": {
        "train_patterns": True,
        "labels": "labels.tsv",
        "maps": "maps/normed.npz",
        "kind": "normed",
        "epochs": 1,
        "output_dir": "out",
    },
    "cut": {"model_dir": "multi", "task": "SST-2", "output_dir": "out"},
    "inspect": {"": "inspect", "diff": "diffs/finetune-0.1"},
    "diff_report": {"": "report", "runs_dir": "diffs", "output_dir": "out"},
    "export_tasks": {"model_dir": "bert", "diffs": "diffs/finetune-0.1", "output_dir": "out"},
}

#: The program of a mode.
PROGRAMS = {
    "classify": "attention_patterns",
    "train_patterns": "attention_patterns",
    "cut": "share_tickets",
    "inspect": "diff",
    "diff_report": "diff",
    "export_tasks": "export",
    **{name: name for name in COMMANDS},
}


def command(settings, **changes):
    """Returns a command line.

    Args:
      settings: name of a program or of one of its `MODES`, or flags by name.
      **changes: other values of flags; None leaves one out.
    """
    if isinstance(settings, str):
        settings = COMMANDS.get(settings) or MODES[settings]
    settings = {**settings, **changes}
    word = [settings.pop("")] if settings.get("") else []
    return (*word, *(f"--{name}={value}" for name, value in settings.items() if value is not None))


@functools.cache
def flags_of(program):
    """Returns the flags that a program defines, a dict of absl's flags by name."""
    module = importlib.import_module(f"flop_tools.{program}")
    known = set(flags.FLAGS)
    module.define_flags()
    own = {name: flags.FLAGS[name] for name in sorted(set(flags.FLAGS) - known)}
    for name in own:
        delattr(flags.FLAGS, name)
    return own
