"""Programs called in this process, and something small for them to work on."""

import sys

from flop_tools import program

import pytest
from absl import flags

from bert_tf.checkpoints import model_dir
from bert_tf.data import demo_task
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import latency_measurement
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras


@pytest.fixture
def call(monkeypatch):
    """Returns a function that runs a program with arguments and returns its exit code."""
    monkeypatch.setattr(program, "_own_flags", set())
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def forget():
        for name in program._own_flags:
            delattr(flags.FLAGS, name)
        program._own_flags.clear()

    def call(tool, *args):
        forget()
        name = tool.__name__.split(".")[-1]
        monkeypatch.setattr(sys, "argv", [f"tools/{name}.py", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            tool.run()
        return end.value.code

    yield call
    forget()


@pytest.fixture
def few_models(monkeypatch):
    """Latency tables are measured by few and small models: tests look at what becomes of them."""
    measure = latency_measurement.measure
    size = {"rounds": 1, "most_blocks": 1, "number": 4, "num_sizes": 1}
    monkeypatch.setattr(
        latency_measurement, "measure", lambda *args, **_: measure(*args[:3], **size)
    )


@pytest.fixture(scope="session")
def demo_dir(tmp_path_factory):
    """The demonstration's task, with few sentences, in SST-2's layout."""
    folder = tmp_path_factory.mktemp("demo") / "SST-2"
    demo_task.write(str(folder), demo_task.generate(40, 20, 5))
    return str(folder)


@pytest.fixture(scope="session")
def bert_dir(tmp_path_factory, demo_dir):
    """A model directory of a tiny BERT."""
    words = set()
    for split in ("train", "dev", "test"):
        with open(f"{demo_dir}/{split}.tsv", encoding="utf-8") as file:
            words.update(file.read().split())
    folder = tmp_path_factory.mktemp("bert")
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)]
    (folder / "words.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    config = EncoderConfig(
        vocab_size=len(vocab),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=16,
    )
    keras.utils.set_random_seed(0)
    tokenizer = Tokenizer(str(folder / "words.txt"))
    model_dir.save(folder / "model", BertModel(config), tokenizer)
    return str(folder / "model")
