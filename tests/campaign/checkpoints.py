"""Checkpoints whose parts do not fit each other, lie about their size, or lead elsewhere."""

import json
import os
import pickle
import shutil

import numpy as np
import safetensors.numpy
from campaign.case import Case
from campaign.commands import PROGRAMS, command

_MILLION, _BILLION = 10**6, 10**9

# Values of a config that are of the right type, and that no model has or these weights do not fit.
_LIES = {
    "10**7 layers": {"num_hidden_layers": 10**7},
    "no layers": {"num_hidden_layers": 0},
    "two layers": {"num_hidden_layers": 2},
    "hidden_size of a million": {"hidden_size": _MILLION},
    "hidden_size of a million, no heads": {"hidden_size": _MILLION, "num_attention_heads": 0},
    "three heads": {"num_attention_heads": 3},
    "a billion words": {"vocab_size": _BILLION},
    "a billion positions": {"max_position_embeddings": _BILLION},
    "a billion neurons": {"intermediate_size": _BILLION},
    "a billion types": {"type_vocab_size": _BILLION},
    "an unknown activation": {"hidden_act": "swish7"},
    "dropout of 1": {"hidden_dropout_prob": 1.0},
    "negative epsilon": {"layer_norm_eps": -1.0},
    "infinite initializer": {"initializer_range": 1e308},
}
_OWN_LIES = {
    "a million layers": {"layers": [{}] * _MILLION},
    "an unknown head": {"head": "x"},
    "a billion labels": {"num_labels": _BILLION},
    "no labels": {"num_labels": 0},
    "rank of a billion": {
        "layers": [
            {"num_heads": 2, "intermediate_size": 12, "projections": {"query": {"rank": _BILLION}}}
        ]
    },
    "an unknown projection": {
        "layers": [{"num_heads": 2, "intermediate_size": 12, "projections": {"x": {"rank": 2}}}]
    },
    "a negative rank": {
        "layers": [
            {"num_heads": 2, "intermediate_size": 12, "projections": {"query": {"rank": -2}}}
        ]
    },
}
_FOREIGN_LIES = {
    "RoBERTa": {"model_type": "roberta"},
    "a decoder": {"is_decoder": True},
    "relative positions": {"position_embedding_type": "relative_key"},
    "cross attention": {"add_cross_attention": True},
    "an unknown key": {"rotary_dim": 8},
}
_HEADS = {
    "token classification": {"architectures": ["BertForTokenClassification"]},
    "multiple choice": {"architectures": ["BertForMultipleChoice"]},
    "several labels": {"problem_type": "multi_label_classification"},
    "labels of a task that is not ours": {"id2label": {"0": "x", "1": "y", "2": "z"}},
}
_TOKENIZERS = {
    "unknown class": {"tokenizer_class": "XLMRobertaTokenizer"},
    "text for a truth": {"do_lower_case": "False!"},
    "number for a truth": {"do_lower_case": 7},
}

# Weights of a Hugging Face folder.
_WEIGHTS = {
    "one missing": lambda w: w.pop("encoder.layer.0.attention.self.query.weight"),
    "one more": lambda w: w.update({"encoder.layer.7.output.dense.bias": np.ones(8, np.float32)}),
    "transposed": lambda w: w.update({_FFN: np.ascontiguousarray(w[_FFN].T)}),
    "another shape": lambda w: w.update({_FFN: np.ones([3, 3], np.float32)}),
    "integers": lambda w: w.update({_FFN: np.ones(w[_FFN].shape, np.int64)}),
    "truths": lambda w: w.update({_FFN: np.ones(w[_FFN].shape, bool)}),
    "none": lambda w: w.clear(),
}
_FFN = "encoder.layer.0.intermediate.dense.weight"

# What stands in the list of shards.
_SHARDS = {
    "outside": "../unrelated/notes.txt",
    "absolute": "/etc/passwd",
    "missing": "part-9.safetensors",
    "a folder": ".",
    "no name": "",
    "a pipe": "pipe",
    "the other shard": "part-0.safetensors",
}

# Why some of these lists and folders are accepted.
_TAKEN = {
    "the other shard": "all shards are read, whatever the list says of each name",
    "a checkpoint that is missing": "the only checkpoint of the folder is taken",
}


def cases():
    """Yields the cases."""
    for number, (what, values) in enumerate({**_LIES, **_OWN_LIES}.items()):
        mode = ("make_mask", "finetune", "diff", "train_mask", "diff_prune")[number % 5]
        yield _case(mode, "bert", what, _patch("bert_config.json", values))
        mode = ("evaluate", "export", "benchmark", "find_tickets", "attention_patterns")[number % 5]
        yield _case(mode, "dense", what, _patch("bert_config.json", values))
    for what, values in {**_LIES, **_FOREIGN_LIES}.items():
        yield _case("factorize", "hf", what, _patch("config.json", values), {"checkpoint": "hf"})
    for what, values in _LIES.items():
        made = {"bert_config_file": "bert/bert_config.json", "training": True, "model_dirs": None}
        # A config alone may be of any model; it must not need more memory than there is.
        accepted = "another model of that size" if "layers" in what else None
        way = _patch("bert_config.json", values)
        yield _case("benchmark", "bert", f"training of {what}", way, made, accepted)
    finetuned = {"checkpoint": "hf", "finetuned": True, "task_name": "SST-2", "data_dir": "SST-2"}
    for what, values in _HEADS.items():
        yield _case("factorize", "hf", what, _with_head(values), finetuned)
    for what, values in _TOKENIZERS.items():
        way = _patch("tokenizer_config.json", values)
        yield _case("finetune", "hf", what, way, {"init_checkpoint": "hf"})
    for what, change in _WEIGHTS.items():
        yield _case("make_mask", "hf", f"weights: {what}", _weights(change), {"checkpoint": "hf"})
    for what, file in _SHARDS.items():
        changes, accepted = {"checkpoint": "shards"}, _TAKEN.get(what)
        yield _case("make_mask", "shards", f"shard {what}", _shard(file), changes, accepted)
    for what, way in _FOLDERS.items():
        name = "google" if what in _OF_GOOGLE else "hf"
        # The program that needs a vocabulary, and one that is done at once.
        if what.startswith("vocabulary"):
            yield _case("finetune", name, what, way, {"init_checkpoint": name})
        else:
            yield _case("make_mask", name, what, way, {"checkpoint": name}, _TAKEN.get(what))
    for what, way in _LOGITS.items():
        changes = {"teacher": "taught"}
        accepted = "a damaged cache is computed again"
        yield _case("finetune", "taught", f"logits {what}", _logits(way), changes, accepted)


def _case(mode, name, what, way, changes=None, accepted=None):
    def prepare(folder):
        os.mkfifo(folder / "pipe")
        way(folder / name)

    uses = (name, *(("dense",) if mode == "analyze_tickets" else ()))
    # The sentence may name what does not fit, or one that is the file's.
    named = rf"{name}|Argument `\w+`"
    args = command(mode, **(changes or {}))
    what = f"{mode} {name} {what}"
    # Logits that are damaged are made anew.
    return Case(
        *("checkpoints", PROGRAMS[mode], what, args, named, prepare, accepted, uses),
        replaces=("taught/logits-",),
    )


def _patch(name, values):
    def damaged(folder):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return damaged


def _with_head(values):
    """Returns a way that makes a classifier of three classes of a Hugging Face folder."""

    def damaged(folder):
        _patch("config.json", {"num_labels": 3, **values})(folder)
        head = {"classifier.weight": np.ones([3, 8]), "classifier.bias": np.ones([3])}
        _weights(lambda w: w.update({name: np.float32(one) for name, one in head.items()}))(folder)

    return damaged


def _weights(change):
    def damaged(folder):
        weights = safetensors.numpy.load_file(folder / "model.safetensors")
        change(weights)
        safetensors.numpy.save_file(weights, folder / "model.safetensors")

    return damaged


def _shard(file):
    def damaged(folder):
        path = folder / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        for name in list(index["weight_map"])[:3]:
            index["weight_map"][name] = file
        path.write_text(json.dumps(index))

    return damaged


def _pickles_alone(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


def _elsewhere(path):
    def damaged(folder):
        text = f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "{path}"\n'
        (folder / "checkpoint").write_text(text)

    return damaged


def _second_checkpoint(folder):
    for path in list(folder.glob("bert_model.ckpt.*")):
        shutil.copyfile(path, folder / path.name.replace("bert_model", "other"))


def _instead_of(name, make):
    def damaged(folder):
        (folder / name).unlink()
        make(folder / name)

    return damaged


# Folders of Hugging Face, and of Google.
_FOLDERS = {
    "pickles alone": _pickles_alone,
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "weights are a folder": _instead_of("model.safetensors", os.mkdir),
    "weights are a pipe": _instead_of("model.safetensors", os.mkfifo),
    "config is a pipe": _instead_of("config.json", os.mkfifo),
    "vocabulary is a link to another file": _instead_of(
        "vocab.txt", lambda path: os.symlink("../unrelated/notes.txt", path)
    ),
    "vocabulary is a pipe": _instead_of("vocab.txt", os.mkfifo),
    "a checkpoint outside": _elsewhere("../unrelated/notes.txt"),
    "a checkpoint at an absolute path": _elsewhere("/etc/passwd"),
    "a checkpoint that is missing": _elsewhere("other.ckpt"),
    "two checkpoints": _second_checkpoint,
    "an index alone": lambda folder: next(folder.glob("*.data-*")).unlink(),
    "data alone": lambda folder: next(folder.glob("*.index")).unlink(),
}
_OF_GOOGLE = {
    "a checkpoint outside",
    "a checkpoint at an absolute path",
    "a checkpoint that is missing",
    "two checkpoints",
    "an index alone",
    "data alone",
}


def _logits(way):
    def damaged(folder):
        (path,) = folder.glob("logits-*.npy")
        way(path)

    return damaged


def _saved(change):
    return lambda path: np.save(path, change(np.load(path)))


_LOGITS = {
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "no array": lambda path: path.write_bytes(b"x" * 500),
    "too few": _saved(lambda logits: logits[:-1]),
    "too wide": _saved(lambda logits: np.concatenate([logits, logits], axis=1)),
    "integers": _saved(lambda logits: logits.astype(np.int64)),
    "NaN": _saved(lambda logits: logits * np.nan),
}
