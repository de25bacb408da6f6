"""Code of a file's author, at every door where a file is read: it must never run.

What is planted makes a folder in the working directory, which the monitor looks for.
"""

import itertools
import json
import os
import pickle
import shutil
import zipfile

import numpy as np
from campaign.case import Case
from campaign.commands import PROGRAMS, command
from campaign.monitor import MARKER
from campaign.tensor_files import forged

from flop_tf.backend import keras


def _lambda_model(function="mkdir", argument=MARKER):
    """Returns a serialized Keras model that calls a function of `os` when it is built."""
    call = {"class_name": "function", "config": function, "module": "os"}
    none = {"output_shape": None, "output_shape_type": "raw", "output_shape_module": None}
    inputs = {"name": "i", "batch_input_shape": [None, 1], "dtype": "float32"}
    inputs |= {"sparse": False, "ragged": False}
    caller = {"name": "l", "function": {**call, "registered_name": function}, "module": "os"}
    caller |= {"function_type": "function", "arguments": {}, **none}
    layers = [
        {"class_name": "InputLayer", "name": "i", "config": inputs, "inbound_nodes": []},
        {
            "class_name": "Lambda",
            "name": "l",
            "config": caller,
            "inbound_nodes": [[["_CONSTANT_VALUE", -1, argument, {}]]],
        },
    ]
    ends = {"input_layers": [["i", 0, 0]], "output_layers": [["l", 0, 0]]}
    config = {"name": "m", "layers": layers, **ends}
    return {"class_name": "Model", "module": "keras", "config": config}


# Gates that are none, by name.
_GATES = {
    "a Lambda": _lambda_model(),
    "a module": {"class_name": "X", "module": "evil", "config": {}, "registered_name": "X"},
    "a named module": {"name": "evil.X", "module": "evil", "class_name": "X", "config": {}},
}


def _in_layers(config, gate):
    spec = {"query": {"rank": 2, "gate": gate}}
    config["layers"] = [{"num_heads": 2, "intermediate_size": 12, "projections": spec}]


def _in_units(config, gate):
    layer = {"num_heads": 2, "intermediate_size": 12, "projections": {}}
    config["layers"] = [{**layer, "gates": {"heads": gate}}]


def _in_gates(config, gate):
    config["gates"] = {"pooler": gate}


_PLACES = {"projections": _in_layers, "units": _in_units, "gates": _in_gates}

# Mode, config file, flags that make the program read it.
_DOORS = (
    ("evaluate", "dense/bert_config.json", {}),
    ("finetune", "bert/bert_config.json", {}),
    ("finetune", "dense/bert_config.json", {"teacher": "dense"}),
    ("finetune", "hf/config.json", {"init_checkpoint": "hf"}),
    ("factorize", "dense/bert_config.json", {}),
    ("factorize", "hf/config.json", {"checkpoint": "hf"}),
    ("factorize", "shards/config.json", {"checkpoint": "shards"}),
    ("factorize", "google/bert_config.json", {"checkpoint": "google"}),
    ("remove_mask", "gated/bert_config.json", {}),
    ("export", "dense/bert_config.json", {}),
    ("export_tasks", "bert/bert_config.json", {}),
    ("benchmark", "dense/bert_config.json", {}),
    ("benchmark", "bert/bert_config.json", {"model_dirs": None, "training": True}),
    ("find_tickets", "dense/bert_config.json", {}),
    ("analyze_tickets", "dense/bert_config.json", {}),
    ("attention_patterns", "dense/bert_config.json", {}),
    ("classify", "dense/bert_config.json", {}),
    ("train_mask", "bert/bert_config.json", {}),
    ("train_mask", "dense/bert_config.json", {"teacher": "dense", "distill_hidden": "cosine"}),
    ("make_mask", "bert/bert_config.json", {}),
    ("make_mask", "google/bert_config.json", {"checkpoint": "google"}),
    ("diff", "bert/bert_config.json", {}),
    ("diff_prune", "bert/bert_config.json", {}),
    ("cut", "multi/bert_config.json", {}),
    ("train_tickets", "bert/bert_config.json", {}),
)


def cases():
    """Yields the cases."""
    plants = itertools.cycle(itertools.product(_PLACES, _GATES))
    for number, (mode, path, changes) in enumerate(_DOORS):
        if changes.get("training"):
            changes = {**changes, "bert_config_file": path}
        # All of them at the first door; they take turns at the others.
        for place, gate in itertools.islice(plants, 1 if number else 9):
            what, way = f"{gate} in {place}", _config(_PLACES[place], _GATES[gate])
            yield _case(mode, path, what, way, changes)
    diff = "diffs/finetune-0.1/diff.safetensors"
    for mode, (gate, data) in itertools.product(
        ("inspect", "diff", "export_tasks"), _GATES.items()
    ):
        change = _head_change(data)
        accepted = "the head is looked at when it is applied" if mode == "inspect" else None
        way = forged("flop_tf.diff", change)
        yield _case(mode, diff, f"{gate} in the head", way, {}, accepted)
    for gate, data in _GATES.items():
        path, changes = "export/1/assets.extra/export.json", {"model_dirs": "export/1/model.onnx"}
        yield _case("benchmark", path, gate, _report(data), changes)
    for form, way in _NETWORKS.items():
        yield _case("classify", "classifier/network.safetensors", form, way, {})
    yield _case("train_patterns", "maps/normed.npz", "pickles", _pickled_npz, {})
    yield _case("train_patterns", "maps", "a pickle", _pickled_npy, {"maps": "maps"})
    yield _case("make_mask", "hf/model.safetensors", "PyTorch", _pytorch, {"checkpoint": "hf"})


def _case(mode, path, what, way, changes, accepted=None):
    def prepare(folder):
        (folder / "evil.py").write_text(f"import os\nos.mkdir({MARKER!r})\n")
        way(folder / path)

    uses = (path.partition("/")[0], *(("dense", "SST-2") if mode == "analyze_tickets" else ()))
    named = rf"gate|config|{path.partition('/')[0]}"
    what = f"{mode} {path} {what}"
    args = command(mode, **changes)
    return Case("planted_code", PROGRAMS[mode], what, args, named, prepare, accepted, uses)


def _config(put, gate):
    def plant(path):
        config = json.loads(path.read_text())
        put(config, gate)
        path.write_text(json.dumps(config))

    return plant


def _head_change(gate):
    def change(header, arrays):
        _in_gates(header["info"]["head"], gate)

    return change


def _report(gate):
    def plant(path):
        report = json.loads(path.read_text())
        _in_layers(report["config"], gate)
        path.write_text(json.dumps(report))

    return plant


def _network():
    """Returns a Keras model whose Lambda acts where the planted files lie."""
    run = keras.layers.Lambda(
        lambda x: (
            __import__("os").path.isdir("unrelated")  # Constants of this module are not saved.
            and __import__("os").makedirs("code_ran", exist_ok=True),
            x,
        )[1]
    )
    layers = keras.layers
    return keras.Sequential(
        [keras.Input([32, 32, 1]), run, layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )


def _saved(suffix, change=None):
    """Returns a way that saves the model in place of a classifier's weights and next to them."""

    def plant(path):
        path.unlink()
        aside = path.parent / f"planted{suffix}"
        _network().save(aside)
        if change is not None:
            change(aside)
        copy = shutil.copytree if aside.is_dir() else shutil.copyfile
        for name in (path.name, "network.keras"):
            copy(aside, path.parent / name)

    return plant


def _with_call(archive):
    """Puts the model that calls a function of a module into a file of Keras."""
    with zipfile.ZipFile(archive) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts["config.json"] = json.dumps(_lambda_model()).encode()
    with zipfile.ZipFile(archive, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)


_NETWORKS = {
    "as HDF5": _saved(".h5"),
    "as a SavedModel": _saved(""),
    "as an archive": _saved(".keras", _with_call),
}


class _Pickled:
    def __reduce__(self):
        return os.mkdir, (MARKER,)


def _pickled_npz(path):
    np.savez(path, **{"0000_00_00": np.array([_Pickled()], dtype=object)})


def _pickled_npy(path):
    np.save(path / "0000_00_00.npy", np.array([_Pickled()], dtype=object))


def _pytorch(path):
    path.unlink()
    (path.parent / "pytorch_model.bin").write_bytes(pickle.dumps(_Pickled()))
