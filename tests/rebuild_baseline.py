"""Records what the programs compute, so that a rebuild can show that it computes the same.

Usage:
  .venv/bin/python tests/rebuild_baseline.py --record=FILE [--minilm=DIR] [--folder=DIR]
  .venv/bin/python tests/rebuild_baseline.py --compare=FILE [--minilm=DIR] [--folder=DIR]

A record is a JSON file: the `--help` of every program, and for every run the SHA-256 of the tensors
in each file that it writes and the scores in its JSON files. The runs are short trainings of a tiny
BERT by every program that trains or makes a model, and, with `--minilm` (the folder that
flop-fetch-minilm writes), the demonstration of `run_all.sh`, a few minutes. Everything runs in
float32 with seed 0 and one thread, without which TensorFlow's sums depend on the moment. Figures of
time are left out. Records of two machines need not be equal: processors round differently.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", OMP_NUM_THREADS="1")
# Else `tests/bert_tf` passes for the package, whose installed name is looked up last.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import flop_tools  # noqa: E402, F401  It sets TensorFlow's log level.

from campaign.commands import COMMANDS, command  # noqa: E402
from campaign.fixtures import Fixtures  # noqa: E402
from programs import Program  # noqa: E402

_GATES = {"init_checkpoint": "factorized", "gate_order_examples": 8}

#: Fixtures that programs make, and are part of the record.
FIXTURES = (
    "dense factorized gated compact taught multi mask.safetensors other.safetensors tickets "
    "stopped shared diffs hf google shards"
).split()

#: Runs by name: program, settings and changes of its command in `campaign.commands`.
RUNS = {
    "distilled": ("finetune", {**_GATES, "target_sparsity": 0.3, "teacher": "dense"}),
    "gates_alone": ("finetune", {**_GATES, "target_sparsity": 0.3, "learning_rate": 0}),
    "accumulated": ("finetune", {"gradient_accumulation_steps": 2, "optimizer": "adamax"}),
    "half_precision": ("finetune", {"mixed_precision": "bfloat16"}),
    "magnitude": ("finetune", {"gate": "magnitude", "target_sparsity": 0.5}),
    "masked": ("finetune", {"mask": "mask.safetensors"}),
    "from_google": ("finetune", {"init_checkpoint": "google"}),
    "from_hugging_face": ("finetune", {"init_checkpoint": "hf"}),
    "regression": (
        "finetune",
        {
            "task_name": "tsv",
            "data_dir": "tsv",
            "text_columns": "text",
            "label_column": "score",
            "label_type": "number",
        },
    ),
    "span": (
        "finetune",
        {"task_name": "squad", "data_dir": "squad", "doc_stride": 4, "max_query_length": 8},
    ),
    "whitened": ("factorize", {"task_name": "SST-2", "data_dir": "SST-2", "finetuned": True}),
    "text_mask": ("train_mask", {"sparsity": 0.5, "num_train_steps": 3}),
    "text_hidden": (
        "train_mask",
        {
            "sparsity": 0.5,
            "mlm": False,
            "distill_hidden": "cosine",
            "distill_attention": True,
            "train_head": None,
            "head_steps": None,
            "num_train_steps": 3,
        },
    ),
    "lottery": ("find_tickets", {"method": "lottery", "units": "heads", "percents": None}),
    "lottery_magnitude": ("find_tickets", {"method": "magnitude", "percents": None}),
    "diff_learned": ("diff_prune", {"target_density": 0.1, "finetune_epochs": 0.4}),
    "evaluated": ("evaluate", {}),
    "cut": ("share_tickets", {"model_dir": "multi", "task": "SST-2", "tickets": None}),
}


def programs():
    """Returns the `--help` of every program by its name."""
    # Started as a user starts them: absl prints the docstring of the main module.
    return {
        name: subprocess.run(
            [sys.executable, "-m", f"flop_tools.{name}", "--help"], capture_output=True, text=True
        ).stdout
        for name in sorted(COMMANDS)
    }


def contents(path):
    """Returns digests of the tensor files and scores in the JSON files of a folder or file."""
    paths = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = {}
    for file in paths:
        name = file.relative_to(path).as_posix()
        if file.suffix == ".safetensors":
            found[name] = digest(file)
        elif file.suffix == ".json" and (scores := dict(_scores(json.loads(file.read_text())))):
            found[name] = scores
    return found


def digest(path):
    """Returns the SHA-256 of the tensors of a file; its metadata may name folders."""
    size = int.from_bytes((content := path.read_bytes())[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    found = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}):
        kind, shape, (start, end) = header[name].values()
        found.update(f"{name} {kind} {shape} ".encode() + data[start:end])
    return found.hexdigest()


def _scores(content, name=""):
    """Yields the place and value of each score in the content of a JSON file."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _scores(value, f"{name}/{key}")
    elif isinstance(content, float) and ("score" in name or "eval" in name or "loss" in name):
        if not any(word in name for word in ("second", "time")):
            yield name, content


def tiny(folder):
    """Returns what the short runs write by their names."""
    fixtures = Fixtures(folder)
    record = {name: contents(fixtures.make(name)) for name in FIXTURES}
    for name, (program, changes) in RUNS.items():
        path = folder / f"run_{name}"
        if not path.exists():
            fixtures.run(program, program, **{**changes, "output_dir": path.name})
        record[path.name] = contents(path)
    return record


def demonstration(folder, minilm):
    """Returns what `run_all.sh` without arguments writes, without its benchmark and export."""
    data, output = folder / "demo_data", folder / "demo"
    if not data.exists():
        _run("make_demo_task", folder, output_dir=data)
    settings = {"task_name": "demo", "data_dir": data, "bert_dir": minilm, "output_dir": output}
    _run("sweep", folder, **settings, benchmark=False, export=False)
    return {"demo": contents(output)}


def _run(program, folder, **settings):
    args = command(settings)
    code, text = Program(f"flop_tools.{program}", *args, folder=str(folder)).wait(7200)
    if code:
        raise RuntimeError(f"{program} {' '.join(args)} failed:\n{text}")


def differences(old, new, name=""):
    """Yields a line for each place at which two records differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{name}: {key}" if name else key)
    elif old != new:
        yield f"{name}: expected {str(old)[:300]!r}, received {str(new)[:300]!r}"


def main(argv=None):
    """Records, or compares, and returns the number of differences."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--record", help="JSON file to write")
    kind.add_argument("--compare", help="JSON file of a record to compare with")
    parser.add_argument("--minilm", help="folder of flop-fetch-minilm, for the demonstration")
    parser.add_argument("--folder", help="where the runs are kept; a temporary one")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        record = {"help": programs(), "tiny": tiny(folder)}
        if options.minilm:
            record |= demonstration(folder, pathlib.Path(options.minilm).resolve())
    if options.record:
        pathlib.Path(options.record).write_text(json.dumps(record, indent=1, sort_keys=True))
        return 0
    old = json.loads(pathlib.Path(options.compare).read_text())
    found = list(differences({key: old[key] for key in record if key in old}, record))
    print("\n".join(found) or "All equal.")
    return len(found)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
