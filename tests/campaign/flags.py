"""Values of flags that make no sense: numeric ones by their definitions, the others by a list."""

import itertools

from campaign.case import Case
from campaign.commands import COMMANDS, PROGRAMS, command, flags_of

# They are no numbers, or those that no setting has.
_NO_INTEGERS = ("nan", "inf", "1e400", "٣", "", "1.5", "one")
_NO_REALS = ("inf", "1e400", "٣", "", "-inf", "one")
_HUGE = 10**11

# Flags that may be negative: a logit, a limit, and the sign for "not given".
_NEGATIVE = {"task_index", "initial_log_alpha", "initial_alpha", "concrete_lower"}

# A training may be as long as one likes.
_STEPS = {"num_train_steps", "head_steps"}

_NO_LIMIT = "a number above what there is takes all there is"

# Program, flag, values that are refused.
_REFUSED = (
    ("finetune", "length_buckets", ("0", "7", "16,8", "8,8", "٨", "8,,16", "a", "-8", "8.0")),
    ("finetune", "tasks", ("SST-2,SST-2", "SST-2,", "x")),
    ("finetune", "task_name", ("x", "SST-2,CoLA", "٣")),
    ("finetune", "gate", ("x",)),
    ("finetune", "optimizer", ("sgd", "")),
    ("finetune", "mixed_precision", ("float8",)),
    ("diff_prune", "layer_penalties", ("nan", "1,,2", "-1", "1,2", "a")),
    ("diff_prune", "frozen", ("x", "blocks.9")),
    ("diff_prune", "dtype", ("float8",)),
    ("factorize", "rank", ("0", "-1", "", "٣", "1e3", "nan", "half")),
    ("factorize", "init", ("x",)),
    ("find_tickets", "percents", (",", "50,20", "50,50", "nan", "-1", "101", "٥٠")),
    ("find_tickets", "head_counts", ("x", "-1", "1e11", "nan")),
    ("find_tickets", "units", ("", "x", "heads,heads,x")),
    ("find_tickets", "split", ("x",)),
    ("find_tickets", "include", ("x",)),
    ("evaluate", "split", ("x", "../dev")),
    ("evaluate", "task_name", ("x",)),
    ("benchmark", "batch_sizes", ("", "0", "-1", "٣", "1.5", "100000000000", "8,,1")),
    ("benchmark", "lengths", ("", "0", "-1", "٨", "25", "100000000000")),
    ("benchmark", "model_dirs", ("", "dense,dense", "dense,,bert")),
    ("export", "format", ("", "onnx,onnx", "pb", ",")),
    ("export", "engine", ("x", "", "onnxruntime")),
    ("export", "latency_table", (",", "table.json,table.json")),
    ("benchmark", "engines", ("", "x", "litert,litert")),
    ("export", "optimize_for", ("0x8", "2x0", "٢x8", "2x8x1", "2*8", "99999999999x8", "2x999")),
    ("compare_masks", "masks", ("", "mask.safetensors", "a=,b=", "a=mask.safetensors,a=b")),
    ("share_tickets", "tickets", ("", "SST-2", "=x", "X=mask.safetensors", "SST-2=", "a=b,a=b")),
    ("analyze_tickets", "tickets_dirs", ("", ",", "tickets,tickets")),
    ("analyze_tickets", "ticket", ("", "none")),
    ("train_mask", "layers_to_mask", ("9", "a", "-1", "٠")),
    ("train_mask", "units", ("x", "heads,x")),
    ("train_mask", "method", ("x",)),
    ("sweep", "tasks", ("", ",", "SST-2,SST-2", "SST-3", "../SST-2")),
    ("sweep", "seeds", ("", ",", "0,0", "-1", "٣", "1.5", "4294967296")),
    ("sweep", "learning_rates", ("0", "nan", "inf", "1e-5,,2e-5", "٣", "1e-5,1e-5")),
    ("sweep", "sparsities", ("1", "nan", "-.1", "60%", ".3,.3", "٣")),
    ("sweep", "epochs", ("0", "inf", "nan", "many", "-1", "", "٣")),
    ("sweep", "finetune_flags", ("'", "x", "--flagfile=nowhere")),
    ("train_tickets", "seeds", ("", "0,0", "-1", "٣")),
    ("train_tickets", "percents", ("", "50,20", "nan", "٥٠", "0")),
    ("train_tickets", "method", ("", "best", "super,super")),
    ("train_tickets", "kinds", ("x", "winning,winning")),
    ("train_tickets", "find_flags", ("--levels=3", "--units=rows", "'")),
    ("train_tickets", "epochs", ("0", "inf", "")),
)

# How sentences name what some flags have.
_ALIASES = {
    "engines": "engine",
    "tasks": "task",
    "task_name": "task",
    "format": "format_names",
    "model_dirs": "paths|path ''",
    "tickets": "task",
    "tickets_dirs": "tickets",
    "ticket": "tickets",
    "learning_rates": "learning rate",
    "sparsities": "sparsity",
    "seeds": "seed",
    "find_flags": "`units`",
    "finetune_flags": "flag file",
    "lengths": "`length`",
    "eval_batch_size": "(eval_)?batch_size",
}

# Program or mode, flags that belong to another mode, and which one of them is refused.
_OTHER_MODE = (
    ("benchmark", {"variants": "fused"}, "variants"),
    ("benchmark", {"table": True, "training": True, "memory": None}, "table|training"),
    ("benchmark", {"table": True, "densities": ".5", "memory": None}, "table|densities"),
    ("benchmark", {"training": True}, "model_dirs|bert_config_file"),
    ("benchmark", {"densities": ".5", "model_dirs": None, "memory": None}, "bert_config_file"),
    ("attention_patterns", {"labels": "labels.tsv"}, "labels"),
    ("attention_patterns", {"epochs": 3}, "epochs"),
    ("attention_patterns", {"kind": "normed"}, "kind"),
    ("attention_patterns", {"mask": "mask.safetensors"}, "mask"),
    ("attention_patterns", {"train_patterns": True}, "attention"),
    ("train_patterns", {"num_texts": 3}, "num_texts"),
    ("train_patterns", {"model_dir": "dense"}, "model_dir"),
    ("classify", {"maps": "maps"}, "maps"),
    ("diff", {"runs_dir": "diffs"}, "runs_dir"),
    ("inspect", {"base": "bert"}, "base"),
    ("export", {"format": "onnx"}, "latency table"),
    ("export", {"optimize_for": "3x8"}, "latency table"),
    ("export", {"data_dir": "CoLA"}, "CoLA"),
    ("export_tasks", {"format": "onnx"}, "format"),
    ("export_tasks", {"data_dir": "SST-2"}, "data_dir"),
    ("share_tickets", {"task": "SST-2"}, "task"),
    ("cut", {"tickets": "SST-2="}, "tickets"),
    ("find_tickets", {"threshold": 0.5}, "threshold"),
    ("find_tickets", {"method": "lottery"}, "percents"),
    ("train_mask", {"rewind": False}, "rewind"),
    ("train_mask", {"mask": "mask.safetensors"}, "mask"),
    ("evaluate", {"dev_file": "dev.txt"}, "dev_file"),
    ("finetune", {"glue_dir": "."}, "glue_dir"),
    ("finetune", {"task_masks": "SST-2=mask.safetensors"}, "task_masks"),
    ("finetune", {"text_columns": "text"}, "text_columns"),
    ("finetune", {"tfds_download": True}, "tfds"),
    ("finetune", {"tfds": "glue/sst2"}, "tfds"),
    ("finetune", {"factorized": True, "target_sparsity": 0.5}, "factorized"),
    ("finetune", {"gate": "none", "target_sparsity": 0.5}, "target_sparsity"),
    ("factorize", {"rank": "full", "text_columns": "text"}, "text_columns"),
    ("factorize", {"density": 0.5}, "rank|density"),
    ("diff_prune", {"gate": "hard_concrete"}, "gate"),
    ("diff_prune", {"": "project"}, "learn"),
    ("sweep", {"sparsity": ".3"}, "sparsity"),
    ("sweep", {"task_name": "SST-2"}, "tasks"),
    ("train_tickets", {"tfds": "glue/sst2"}, "tfds"),
)


def cases():
    """Yields the cases."""
    yield from _numbers()
    for program, flag, values in _REFUSED:
        for value in values:
            yield _case(program, {flag: value}, rf"\b{flag}\b|{_ALIASES.get(flag, flag)}")
    for mode, changes, names in _OTHER_MODE:
        yield _case(mode, changes, names)
    yield _case("find_tickets", {"percents": ""}, "level", "importances are measured, as it says")
    yield from _command_lines()


def _numbers():
    """Yields values of every numeric flag; those that diff pruning inherits are finetune's."""
    integers, reals = itertools.cycle(_NO_INTEGERS), itertools.cycle(_NO_REALS)
    listed = {(program, flag) for program, flag, _ in _REFUSED}
    for program in sorted(COMMANDS):
        inherited = flags_of("finetune") if program == "diff_prune" else {}
        for name, flag in flags_of(program).items():
            kind = flag.flag_type()
            if name in inherited or (program, name) in listed or kind not in ("int", "float"):
                continue
            values = [next(integers)] if kind == "int" else ["nan", next(reals)]
            for value in values if name in _NEGATIVE else ["-1", *values]:
                yield _case(program, {name: value}, rf"\b{_ALIASES.get(name, name)}\b")
            if kind == "int" and name not in _STEPS:
                yield _case(program, {name: _HUGE}, rf"\b{name}\b", _NO_LIMIT)


def _case(mode, changes, names, accepted=None):
    what = " ".join(f"{name}={value}" for name, value in changes.items())
    program = PROGRAMS[mode]
    uses = ("SST-2", "dense") if program in ("sweep", "train_tickets", "analyze_tickets") else ()
    what = what if mode == program else f"{mode} {what}"
    return Case(
        "flags", program, what, command(mode, **changes), names, accepted=accepted, uses=uses
    )


def _command_lines():
    """Yields command lines that are wrong whatever the program does."""
    for program in sorted(COMMANDS):
        args = command(program)
        yield Case("flags", program, "unknown", (*args, "--no_such_flag=1"), "no_such_flag")
        yield Case("flags", program, "word", (*args, "word"), "word")
        yield Case("flags", program, "nothing", (), r"--\w+|`\w+`|must follow")
    for program in ("compare_masks", "diff", "make_mask", "report", "sweep"):
        for file in ("circle.flags", "nowhere", "unrelated"):
            args = (*command(program), f"--flagfile={file}")
            yield Case("flags", program, f"flag file {file}", args, file, prepare=_circle)


def _circle(folder):
    (folder / "circle.flags").write_text("--flagfile=circle.flags\n")
