"""Files of arrays: damaged bytes, and headers that are signed and say what is not so."""

import itertools
import json
import re
import struct

import numpy as np
import safetensors
import safetensors.numpy
from campaign import damage
from campaign.case import Case
from campaign.commands import PROGRAMS, command

from flop_tf.files.tensor_file import TensorFile

_BILLION = 10**9
# Ways that are tried of each file.
_NUM_WAYS = 5

# Mode, file, flags.
_FILES = (
    ("evaluate", "dense/model.safetensors", {}),
    ("evaluate", "mask.safetensors", {"mask": "mask.safetensors"}),
    ("make_mask", "bert/model.safetensors", {}),
    ("factorize", "hf/model.safetensors", {"checkpoint": "hf"}),
    ("factorize", "shards/part-1.safetensors", {"checkpoint": "shards"}),
    ("remove_mask", "gated/model.safetensors", {}),
    ("finetune", "mask.safetensors", {"mask": "mask.safetensors"}),
    ("compare_masks", "mask.safetensors", {}),
    ("share_tickets", "tickets/masks/winning-1-0.safetensors", {}),
    ("analyze_tickets", "tickets/masks/winning-1-0.safetensors", {}),
    ("diff", "diffs/finetune-0.1/diff.safetensors", {}),
    ("inspect", "diffs/finetune-0.1/diff.safetensors", {}),
    ("diff_report", "diffs/learn/diff.safetensors", {}),
    ("export_tasks", "diffs/finetune-0.1/diff.safetensors", {}),
)
_LITERT = "export/1/model_float32.tflite"
_OTHER_FILES = (
    ("train_patterns", "maps/normed.npz", {}),
    ("benchmark", "export/1/model.onnx", {"model_dirs": "export/1/model.onnx"}),
    ("benchmark", "export/1/saved_model.pb", {"model_dirs": "export/1"}),
    ("benchmark", _LITERT, {"model_dirs": _LITERT}),
    ("make_mask", "google/bert_model.ckpt.index", {"checkpoint": "google"}),
    ("make_mask", "google/bert_model.ckpt.data-00000-of-00001", {"checkpoint": "google"}),
)


def _raw_header(change):
    """Returns a way that rewrites the JSON in front of the arrays of a safetensors file."""

    def damaged(path):
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        change(header)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])

    return damaged


def _first(header):
    return next(value for name, value in header.items() if name != "__metadata__")


def _header_size(size):
    def damaged(path):
        path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])

    return damaged


def _deep(path):
    text = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)


_SAFETENSORS = {
    **damage.WHOLE,
    "header of 2**63 bytes": _header_size(2**63),
    "header of 4 bytes": _header_size(4),
    "deep header": _deep,
    "large shape": _raw_header(lambda h: _first(h).update(shape=[8, _BILLION])),
    "negative shape": _raw_header(lambda h: _first(h).update(shape=[-1])),
    "unknown type": _raw_header(lambda h: _first(h).update(dtype="F99")),
    "offsets beyond": _raw_header(lambda h: _first(h).update(data_offsets=[0, _BILLION])),
    "metadata of numbers": _raw_header(lambda h: h.update(__metadata__={"flop_tf.masks": 1})),
}

# What a signed header of masks says.
_MASK_HEADERS = {
    "no shapes": lambda h, a: h.pop("shapes"),
    "no base": lambda h, a: h.pop("base"),
    "no method": lambda h, a: h.pop("method"),
    "no provenance": lambda h, a: h.pop("provenance"),
    "shapes are a list": lambda h, a: h.update(shapes=[1]),
    "large shape": lambda h, a: h["shapes"].update({_some(a): [8, _BILLION]}),
    "larger shape": lambda h, a: h["shapes"].update({_some(a): [_BILLION, _BILLION]}),
    "negative shape": lambda h, a: h["shapes"].update({_some(a): [-8, 8]}),
    "shape of reals": lambda h, a: h["shapes"].update({_some(a): [8.0, 8.5]}),
    "shape of texts": lambda h, a: h["shapes"].update({_some(a): ["8", "8"]}),
    "shape is a number": lambda h, a: h["shapes"].update({_some(a): 64}),
    "shape of no array": lambda h, a: h["shapes"].update(nothing=[8, 8]),
    "wrong base": lambda h, a: h.update(base="0" * 64),
    "base is a number": lambda h, a: h.update(base=1),
    "method is a list": lambda h, a: h.update(method=[]),
    "provenance is a text": lambda h, a: h.update(provenance="x"),
    "version is a text": lambda h, a: h.update(version="1"),
    "reals as bits": lambda h, a: a.update({_some(a): np.ones([8], np.float32)}),
    "too few bits": lambda h, a: a.update({_some(a): a[_some(a)][:1]}),
    "bits of two axes": lambda h, a: a.update({_some(a): a[_some(a)][None]}),
}

# What a signed header of a difference says.
_DIFF_HEADERS = {
    "no base": lambda h, a: h.pop("base"),
    "no shapes": lambda h, a: h.pop("shapes"),
    "no counts": lambda h, a: h.pop("counts"),
    "no info": lambda h, a: h.pop("info"),
    "info is a list": lambda h, a: h.update(info=[]),
    "no positions": lambda h, a: a.pop("positions"),
    "no values": lambda h, a: a.pop("values"),
    "counts are a list": lambda h, a: h.update(counts=[1]),
    "negative count": lambda h, a: h["counts"].update({_some(h["counts"]): -1}),
    "large count": lambda h, a: h["counts"].update({_some(h["counts"]): 10**12}),
    "count is a real": lambda h, a: h["counts"].update({_some(h["counts"]): 1.5}),
    "large shape": lambda h, a: h["shapes"].update({_some(h["shapes"]): [_BILLION, _BILLION]}),
    "negative shape": lambda h, a: h["shapes"].update({_some(h["shapes"]): [-1]}),
    "shape of texts": lambda h, a: h["shapes"].update({_some(h["shapes"]): ["a"]}),
    "no shape at all": lambda h, a: h.update(shapes={}, counts={}),
    "positions beyond": lambda h, a: a.update(positions=np.full([40], 255, np.uint8)),
    "positions of reals": lambda h, a: a.update(positions=np.float32(a["positions"])),
    "values are NaN": lambda h, a: a.update(values=a["values"] * np.nan),
    "values are integers": lambda h, a: a.update(values=np.int64(a["values"])),
    "too few values": lambda h, a: a.update(values=a["values"][:-1]),
    "head is a text": lambda h, a: h["info"].update(head="classifier"),
    "head is unknown": lambda h, a: h["info"].update(head={"head": "x"}),
    "hidden_size of a million": lambda h, a: h["info"]["head"].update(hidden_size=10**6),
    "negative labels": lambda h, a: h["info"]["head"].update(num_labels=-1),
    "task is a text": lambda h, a: h["info"].update(task="SST-2"),
    "task is unknown": lambda h, a: h["info"].update(task={"name": "x"}),
    "task of wrong keys": lambda h, a: h["info"]["task"].update(x=1),
    "scores are a text": lambda h, a: h["info"].update(scores="x"),
    "scores of texts": lambda h, a: h["info"].update(scores={"dev": {"eval_accuracy": "x"}}),
    "length is a text": lambda h, a: h["info"].update(max_seq_length="x"),
    "head of integers": lambda h, a: a.update({"dense.classifier.kernel": np.ones([8, 2], int)}),
    "head of another size": lambda h, a: a.update({"dense.classifier.kernel": np.ones([3, 3])}),
}
_LISTED = "a damaged difference is listed as such, and the others are shown"
_INSPECTED = "what cannot be seen without the base is looked at when it is applied"

# Names of arrays in `.npz`.
_MAPS = {
    "one axis": lambda maps: {name: one[0] for name, one in maps.items()},
    "not square": lambda maps: {name: one[:3] for name, one in maps.items()},
    "NaN": lambda maps: {name: one * np.nan for name, one in maps.items()},
    "texts": lambda maps: {name: np.full([4, 4], "x") for name in maps},
    "no rows": lambda maps: {name: one[:0, :0] for name, one in maps.items()},
    "none": lambda maps: {},
}


def cases():
    """Yields the cases."""
    ways = itertools.cycle(_SAFETENSORS)
    for mode, path, changes in _FILES:
        for name in itertools.islice(ways, _NUM_WAYS):
            accepted = _LISTED if mode == "diff_report" else None
            yield _case(mode, path, name, _SAFETENSORS[name], changes, accepted)
    ways = itertools.cycle(damage.WHOLE)
    for mode, path, changes in _OTHER_FILES:
        for name in itertools.islice(ways, _NUM_WAYS):
            yield _case(mode, path, name, damage.WHOLE[name], changes)
    modes = itertools.cycle([("evaluate", {"mask": "mask.safetensors"}), ("compare_masks", {})])
    for (name, change), (mode, changes) in zip(_MASK_HEADERS.items(), modes, strict=False):
        way = forged("flop_tf.masks", change)
        yield _case(mode, "mask.safetensors", f"header: {name}", way, changes)
    modes = itertools.cycle(["inspect", "diff", "diff_report", "diff", "export_tasks"])
    for (name, change), mode in zip(_DIFF_HEADERS.items(), modes, strict=False):
        way, path = forged("flop_tf.diff", change), "diffs/finetune-0.1/diff.safetensors"
        accepted = _INSPECTED if mode in ("inspect", "diff_report") else None
        yield _case(mode, path, f"header: {name}", way, {}, accepted)
    for name, change in _MAPS.items():
        yield _case("train_patterns", "maps/normed.npz", f"maps: {name}", _maps(change), {})


def _case(mode, path, what, damaged, changes, accepted=None):
    name = re.escape(path.rpartition("/")[2].partition(".data")[0].removesuffix(".index"))
    uses = (path.partition("/")[0], *(("dense",) if mode == "analyze_tickets" else ()))
    # Of a model or a checkpoint, the sentence may name the folder; of maps, one of them.
    names = rf"{name}|{path.rpartition('/')[0] or name}|The map '"
    return Case(
        "tensor_files",
        PROGRAMS[mode],
        f"{mode} {path} {what}",
        command(mode, **changes),
        names,
        lambda folder: damaged(folder / path),
        accepted,
        uses,
    )


def _some(names):
    return sorted(names)[-1]


def forged(key, change):
    """Returns a way to damage a signed file: header and arrays are changed and signed anew.

    Args:
      key: of the metadata.
      change: function of the header and the arrays, two dicts that it changes.
    """

    def damaged(path):
        with safetensors.safe_open(path, framework="numpy") as file:
            header = json.loads(file.metadata()[key])
        arrays = safetensors.numpy.load_file(path)
        del header["sha256"]
        change(header, arrays)
        TensorFile("a forged file", key, 1).write(str(path), header, arrays)

    return damaged


def _maps(change):
    def damaged(path):
        with np.load(path) as file:
            maps = change(dict(file))
        np.savez(path, **maps)

    return damaged
