"""Small models and files of every kind that the programs read, each made when it is needed first.

What a program makes is made by the program.
"""

import json
import shutil

import numpy as np
import safetensors.numpy
import tensorflow as tf
from campaign.commands import command
from programs import Program

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.data import demo_task
from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.bert import Bert
from bert_tf.families.names import per_block
from bert_tf.models.bert import BertModel
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

_SHORT = {"max_seq_length": 16, "num_train_epochs": 0.4, "train_batch_size": 8}
_CONTEXT = "the film was good and the plot was dull"
_MAKERS = {}


def _makes(*names):
    """Registers a function of `Fixtures` as the one that makes these files or folders."""

    def register(maker):
        _MAKERS.update(dict.fromkeys(names, maker))
        return maker

    return register


class Fixtures:
    """A folder with the fixtures that were needed so far.

    Args:
      folder: `pathlib.Path`; what lies there already is used.
    """

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def needed_by(self, case):
        """Returns the names of the fixtures that lie in the folder of a case."""
        return self.named_in(case.args) | {*case.uses, "unrelated"}

    def named_in(self, texts):
        """Returns the names of the fixtures that occur in texts as the first part of a path."""
        return {
            name
            for text in texts
            for part in text.replace("=", ",").split(",")
            if (name := part.partition("/")[0]) in _MAKERS
        }

    def make(self, name):
        """Returns the path of a fixture, which is made if it is missing."""
        path = self.folder / name
        if not path.exists():
            _MAKERS[name](self)
        return path

    def copy(self, names, folder):
        """Copies fixtures into a folder."""
        for name in sorted(names):
            path = self.make(name)
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / name)

    def run(self, program, settings, **changes):
        """Runs a program on fixtures; its output has the name of one.

        Raises:
          RuntimeError: with what it has printed, if it fails.
        """
        args = command(settings, **changes)
        for name in self.named_in(arg for arg in args if not arg.startswith("--output")):
            self.make(name)
        module = f"flop_tools.{program}"
        code, text = Program(module, *args, folder=str(self.folder)).wait()
        if code:
            raise RuntimeError(f"No fixture by {program} {' '.join(args)}:\n{text}")


@_makes("unrelated")
def _unrelated(fixtures):
    folder = fixtures.folder / "unrelated"
    (folder / "deep").mkdir(parents=True)
    (folder / "notes.txt").write_text("Not to be lost.\n")
    (folder / "deep/data.bin").write_bytes(bytes(range(256)))


@_makes("SST-2")
def _sst2(fixtures):
    demo_task.write(str(fixtures.folder / "SST-2"), demo_task.generate(24, 12, 4))


@_makes("CoLA")
def _cola(fixtures):
    folder = fixtures.folder / "CoLA"
    folder.mkdir()
    for split, size in (("train", 16), ("dev", 8)):
        lines = [f"source\t{i % 2}\t\tthe film {i}" for i in range(size)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")


@_makes("tsv")
def _tsv(fixtures):
    folder = fixtures.folder / "tsv"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        rows = [f"the film {i} was good\t{'ab'[i % 2]}\t{i / 10}" for i in range(8)]
        (folder / f"{split}.tsv").write_text("\n".join(["text\tlabel\tscore", *rows]) + "\n")


@_makes("text")
def _text(fixtures):
    folder = fixtures.folder / "text"
    folder.mkdir()
    for split in ("train", "dev"):
        (folder / f"{split}.txt").write_text(f"{_CONTEXT}\n" * 12)


@_makes("squad")
def _squad(fixtures):
    folder = fixtures.folder / "squad"
    folder.mkdir()
    for split in ("train", "dev"):
        question = {"question": "what was dull", "answers": [{"text": "plot", "answer_start": 27}]}
        paragraph = {"context": _CONTEXT, "qas": [{"id": f"{split}-{i}", **question} for i in "ab"]}
        data = {"version": "1.1", "data": [{"title": "film", "paragraphs": [paragraph]}]}
        (folder / f"{split}-v1.1.json").write_text(json.dumps(data))


@_makes("bert")
def _bert(fixtures):
    words = set(_CONTEXT.split())
    for split in ("train", "dev", "test"):
        words |= set((fixtures.make("SST-2") / f"{split}.tsv").read_text().split())
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)]
    vocab_file = fixtures.folder / "vocab.txt"
    vocab_file.write_text("\n".join(vocab) + "\n")
    config = EncoderConfig(
        vocab_size=len(vocab),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=24,
        initializer_range=0.2,
    )
    keras.utils.set_random_seed(0)
    tokenizer = Tokenizer(str(vocab_file))
    model_dir.save(fixtures.folder / "bert", BertModel(config), tokenizer)


@_makes("hf")
def _hf(fixtures):
    tensors = _foreign_tensors(fixtures, Bert.names["hugging_face"].table)
    folder = _foreign_folder(fixtures, "hf", "config.json", model_type="bert")
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")


@_makes("shards")
def _shards(fixtures):
    tensors = _foreign_tensors(fixtures, Bert.names["hugging_face"].table)
    folder = _foreign_folder(fixtures, "shards", "config.json", model_type="bert")
    weight_map = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(sorted(tensors))}
    for file in sorted(set(weight_map.values())):
        part = {name: tensors[name] for name in tensors if weight_map[name] == file}
        safetensors.numpy.save_file(part, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@_makes("google")
def _google(fixtures):
    tensors = _foreign_tensors(fixtures, Bert.names["google_tf1"].table)
    folder = _foreign_folder(fixtures, "google", "bert_config.json")
    tf.raw_ops.SaveV2(
        prefix=str(folder / "bert_model.ckpt"),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )


def _foreign_tensors(fixtures, table):
    """Returns the weights of `bert` by the names of another format."""
    source = read_source(str(fixtures.make("bert")))
    rows = per_block(table, source.config.num_hidden_layers)
    # The transforms are transpositions, which are their own inverse.
    return {
        row.name: np.ascontiguousarray(row.transform(source.weights[path]))
        for path, row in rows.items()
        if path in source.weights and not path.startswith("classifier")
    }


def _foreign_folder(fixtures, name, config_name, **more):
    folder, bert = fixtures.folder / name, fixtures.make("bert")
    folder.mkdir()
    config = json.loads((bert / "bert_config.json").read_text())
    config = {key: config[key] for key in config if key not in ("head", "num_labels", "gates")}
    (folder / config_name).write_text(json.dumps({**config, **more}))
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    shutil.copyfile(bert / "vocab.txt", folder / "vocab.txt")
    return folder


@_makes("dense")
def _dense(fixtures):
    fixtures.run("finetune", "finetune", output_dir="dense")


@_makes("factorized")
def _factorized(fixtures):
    fixtures.run("factorize", "factorize", output_dir="factorized", finetuned=True)


@_makes("gated")
def _gated(fixtures):
    changes = {"target_sparsity": 0.3, "gate_order_examples": 8, "init_checkpoint": "factorized"}
    fixtures.run("finetune", "finetune", output_dir="gated", **changes)


@_makes("compact")
def _compact(fixtures):
    fixtures.run("remove_mask", "remove_mask", output_folder_dir="compact")


@_makes("taught")
def _taught(fixtures):
    """A teacher with the logits that a student's training keeps next to it."""
    shutil.copytree(fixtures.make("dense"), fixtures.folder / "taught")
    fixtures.run("finetune", "finetune", output_dir="student", teacher="taught")


@_makes("multi")
def _multi(fixtures):
    fixtures.make("SST-2"), fixtures.make("CoLA"), fixtures.make("shared")
    masks = ",".join(f"{task}=shared/masks/{task}.safetensors" for task in ("SST-2", "CoLA"))
    several = {"tasks": "SST-2,CoLA", "glue_dir": ".", "task_masks": masks}
    single = dict.fromkeys(("task_name", "data_dir"))
    fixtures.run("finetune", "finetune", output_dir="multi", **single, **several)


@_makes("mask.safetensors")
def _mask(fixtures):
    fixtures.run("make_mask", "make_mask", output="mask.safetensors", kind="random")


@_makes("other.safetensors")
def _other(fixtures):
    fixtures.run("make_mask", "make_mask", output="other.safetensors")


@_makes("tickets")
def _tickets(fixtures):
    fixtures.run("find_tickets", "find_tickets", output_dir="tickets")


@_makes("stopped")
def _stopped(fixtures):
    """A search that was stopped after its last step."""
    search = {"method": "lottery", "units": "heads", "percents": None}
    fixtures.run("find_tickets", "find_tickets", output_dir="stopped", **search)
    (fixtures.folder / "stopped/tickets.json").unlink()


@_makes("trained")
def _trained(fixtures):
    folder = fixtures.folder / "trained"
    shutil.copytree(fixtures.make("tickets"), folder)
    seeds = {"0": {"score": 0.5, "mask": "masks/winning-1-0.safetensors"}}
    found = {"SST-2": {"metric": "eval_accuracy", "seeds": seeds}}
    (folder / "super_ticket.json").write_text(json.dumps(found))


@_makes("shared")
def _shared(fixtures):
    fixtures.run("share_tickets", "share_tickets", output_dir="shared")


@_makes("diffs")
def _diffs(fixtures):
    short = {"finetune_epochs": 0.4, "target_density": 0.1}
    fixtures.run("diff_prune", {**_diff_settings("all"), **short}, output_dir="diffs")


def _diff_settings(word):
    data = {"task_name": "SST-2", "data_dir": "SST-2", "init_checkpoint": "bert"}
    return {"": word, **data, **_SHORT}


@_makes("table.json")
def _table(fixtures):
    others = dict.fromkeys(("memory", "warmup_rounds"))
    measured = {"table": True, "engine": "litert", "batch_sizes": 2, **others}
    fixtures.run("benchmark", "benchmark", **measured, output_dir="table")
    shutil.copyfile(fixtures.folder / "table/latency_table.json", fixtures.folder / "table.json")


@_makes("export")
def _export(fixtures):
    fixtures.run("export", "export", output_dir="export", format="saved_model,onnx,litert_float32")


@_makes("maps")
def _maps(fixtures):
    fixtures.run("attention_patterns", "attention_patterns", output_dir="maps", num_texts=4)


@_makes("labels.tsv")
def _labels(fixtures):
    names = np.load(fixtures.make("maps") / "normed.npz").files
    lines = [f"{name}\t{'block' if i % 2 else 'other'}\n" for i, name in enumerate(names)]
    (fixtures.folder / "labels.tsv").write_text("".join(lines))


@_makes("classifier")
def _classifier(fixtures):
    fixtures.run("attention_patterns", "train_patterns", output_dir="patterns")
    shutil.copytree(fixtures.folder / "patterns/classifier", fixtures.folder / "classifier")


@_makes("patterns.json")
def _patterns(fixtures):
    fixtures.run("attention_patterns", "classify", output_dir="shares")
    shutil.copyfile(fixtures.folder / "shares/patterns.json", fixtures.folder / "patterns.json")


@_makes("sweep")
def _sweep(fixtures):
    """A finished sweep; its programs are processes that load TensorFlow, so it takes a minute."""
    flags = "--max_seq_length=16 --gate_order_examples=8 --train_batch_size=8"
    settings = {"finetune_flags": flags, "epochs": 0.4, "output_dir": "sweep"}
    measured = "--batch_sizes=1 --lengths=8 --rounds=1 --memory=false"
    fixtures.make("SST-2")
    fixtures.run("sweep", "sweep", **settings, benchmark_flags=measured)
