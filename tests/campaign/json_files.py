"""Damaged JSON: each file that a program reads as a whole, and values of its keys, drawn by a seed.

The damage is done when the case runs: until then the files need not exist.
"""

import dataclasses
import itertools
import json
import random
import re

from campaign import damage
from campaign.case import Case
from campaign.commands import PROGRAMS, command

# Damaged files and values that are tried of each file.
_NUM_WHOLE, _NUM_VALUES = 4, 7

_LISTED = "a damaged run is listed as such, and the others are shown"
_UNREAD = "the program may not need this value"
_BOM = "editors write a byte order mark"

_SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "max_position_embeddings"),
)
_QUESTION = "data.paragraphs.qas"


@dataclasses.dataclass(frozen=True)
class JsonFile:
    """A file that a program reads.

    Args:
      mode: of `campaign.commands`.
      path: the first part is the name of a fixture.
      needed: keys that the program cannot do without.
      changes: flags that make it read the file.
      uses: more fixtures.
      accepted: why any damage of it is accepted, if it is.
      takes: why some of `damage.JSON` are accepted, by their names.
      replaces: what the program writes anew if it accepts the file.
    """

    mode: str
    path: str
    needed: tuple = ()
    changes: dict = dataclasses.field(default_factory=dict)
    uses: tuple = ()
    accepted: str | None = None
    takes: dict = dataclasses.field(default_factory=dict)
    replaces: tuple = ()


_SQUAD = {"task_name": "squad", "data_dir": "squad", "max_seq_length": 20, "max_query_length": 8}
_TRAINING = {"bert_config_file": "bert/bert_config.json", "model_dirs": None, "training": True}

FILES = (
    JsonFile("make_mask", "bert/bert_config.json", _SIZES),
    JsonFile("evaluate", "dense/bert_config.json", _SIZES),
    JsonFile("evaluate", "dense/info.json", ("task", "task.name")),
    JsonFile("evaluate", "dense/tokenizer_config.json"),
    JsonFile("export", "dense/info.json", ("task", "task.name"), uses=("table.json",)),
    JsonFile(
        "remove_mask",
        "gated/bert_config.json",
        (*_SIZES, "layers.num_heads", "layers.intermediate_size", "layers.projections"),
    ),
    JsonFile("factorize", "hf/config.json", _SIZES, {"checkpoint": "hf"}),
    JsonFile("factorize", "hf/tokenizer_config.json", (), {"checkpoint": "hf"}),
    JsonFile(
        "factorize",
        "shards/model.safetensors.index.json",
        ("weight_map",),
        {"checkpoint": "shards"},
    ),
    JsonFile("factorize", "google/bert_config.json", _SIZES, {"checkpoint": "google"}),
    JsonFile("benchmark", "bert/bert_config.json", _SIZES, _TRAINING),
    JsonFile(
        "benchmark",
        "export/1/assets.extra/export.json",
        (
            *("formats", "compared_on", "num_examples"),
            *("formats.onnx.config", "formats.onnx.config.vocab_size"),
        ),
        {"model_dirs": "export/1/model.onnx"},
    ),
    JsonFile(
        "export",
        "table.json",
        (
            *("engine", "shape", "hidden_size", "head_size", "environment"),
            *("rows", "rows.term", "rows.size", "rows.seconds"),
        ),
    ),
    JsonFile(
        "find_tickets",
        "tickets/importance.json",
        ("model", "importance"),
        {"importance": "tickets/importance.json"},
    ),
    JsonFile(
        "find_tickets",
        "stopped/steps.json",
        ("score", "passed"),
        {"method": "lottery", "units": "heads", "percents": None, "output_dir": "stopped"},
        takes=dict.fromkeys(("a list", "endless"), "a search without steps starts anew"),
        replaces=("stopped",),
    ),
    JsonFile(
        "share_tickets",
        "tickets/tickets.json",
        ("tickets", "tickets.kind", "tickets.file"),
        {"tickets": "SST-2=tickets,CoLA="},
    ),
    JsonFile(
        "share_tickets",
        "trained/super_ticket.json",
        ("SST-2", "SST-2.seeds", "SST-2.seeds.0.score"),
        {"tickets": "SST-2=trained,CoLA="},
    ),
    JsonFile("cut", "multi/info.json", ("task", "task.tasks", "task.tasks.name")),
    JsonFile(
        "analyze_tickets",
        "tickets/tickets.json",
        ("method", "task", "task.name", "tickets", "tickets.name", "tickets.file"),
        uses=("dense",),
    ),
    JsonFile("analyze_tickets", "dense/bert_config.json", _SIZES, uses=("dense",)),
    JsonFile(
        "analyze_tickets", "patterns.json", ("shares",), {"patterns": "patterns.json"}, ("dense",)
    ),
    JsonFile("classify", "classifier/labels.json", ("labels", "smallest", "largest", "kind")),
    JsonFile(
        "finetune",
        "squad/train-v1.1.json",
        (
            *("data", "data.paragraphs", "data.paragraphs.context", _QUESTION),
            *(f"{_QUESTION}.{key}" for key in ("id", "question", "answers.text")),
        ),
        _SQUAD,
    ),
    JsonFile("sweep", "sweep/sweep.json", ("runs",), {"output_dir": "sweep"}, ("SST-2",)),
    JsonFile("report", "sweep/sweep.json", accepted=_LISTED),
    JsonFile("report", "sweep/SST-2/lr5e-5-seed0/dense/info.json", accepted=_LISTED),
    JsonFile("report", "sweep/SST-2/lr5e-5-seed0/dense/bert_config.json", accepted=_LISTED),
    JsonFile("report", "sweep/SST-2/benchmark/benchmark.json", accepted=_LISTED),
)

# Of the environment: what several workers are told.
_TF_CONFIGS = (
    "{",
    "[]",
    "null",
    "[" * 50_000,
    '{"cluster": 1}',
    '{"cluster": {"worker": "localhost:1"}, "task": {"type": "worker", "index": 0}}',
    '{"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"index": "zero"}}',
    '{"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "x", "index": 7}}',
    '{"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"index": 1e999}}',
)


def cases():
    """Yields the cases."""
    whole, values = itertools.cycle(damage.JSON), itertools.cycle([*damage.VALUES, "missing"])
    for number, file in enumerate(FILES):
        for name in itertools.islice(whole, _NUM_WHOLE):
            yield _case(file, name, damage.JSON[name], file.accepted or file.takes.get(name))
        for index, name in enumerate(itertools.islice(values, _NUM_VALUES)):
            # Two of three are keys that the program needs.
            yield _value(file, name, bool(file.needed) and index % 3 > 0, seed=number)
    for file in (FILES[0], FILES[2], FILES[6]):
        yield _case(file, "with BOM", damage.with_bom, _BOM)
    for number, text in enumerate(_TF_CONFIGS):
        args = command("finetune", distribution_strategy="multi_worker_mirrored", worker_timeout=5)
        environment = {"TF_CONFIG": text}
        what = f"TF_CONFIG {number}"
        yield Case("json_files", "finetune", what, args, "TF_CONFIG", environment=environment)


def _value(file, name, needed, seed):
    """Returns a case with a value of `damage.VALUES`, or none, under a key that is drawn."""

    def damaged(path):
        data = json.loads(path.read_text())
        found = [
            key
            for key in damage.keys(data)
            if isinstance(key[-1], str)
            and (damage.dotted(key) in file.needed) == needed
            and not (needed and damage.fits(damage.at(data, key), name))
        ]
        key = random.Random(seed).choice(found)
        path.write_bytes(damage.with_value(data, key, name))

    never = needed or name in damage.NEVER
    accepted = file.accepted or (None if never else _UNREAD)
    return _case(file, f"{'needed' if needed else 'other'} value is {name}", damaged, accepted)


def _case(file, what, damaged, accepted):
    folder, _, name = file.path.rpartition("/")
    return Case(
        "json_files",
        PROGRAMS[file.mode],
        f"{file.mode} {file.path} {what}",
        command(file.mode, **file.changes),
        # What fits the file but not what lies next to it may be said of the folder.
        f"{re.escape(name)}|{folder or name}",
        lambda folder: damaged(folder / file.path),
        accepted,
        (*file.uses, file.path.partition("/")[0]),
        replaces=file.replaces,
    )
