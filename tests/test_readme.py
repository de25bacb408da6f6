"""The Python of the README works as it is shown."""

import pathlib
import re

import numpy as np
import pytest

import flop_tf
from bert_tf.checkpoints import model_dir
from bert_tf.encoders.config import BertConfig
from bert_tf.heads.classifier import BertClassifier
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

README = pathlib.Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def snippets():
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_any_keras_model(snippets):
    (code,) = [text for text in snippets if "flop_tf.factorize" in text]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 16)).astype("float32")
    y = x @ rng.normal(size=(16, 3)).astype("float32")
    inputs = keras.Input([16])
    hidden = keras.layers.Dense(24, activation="relu")(inputs)
    hidden = keras.layers.Dense(24, activation="relu")(hidden)
    dense = keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden))
    known = {"dense_model": dense, "x": x, "y": y}
    assert "epochs=30" in code and "last_step=400" in code
    exec(code.replace("epochs=30", "epochs=3").replace("last_step=400", "last_step=20"), known)
    model, small = known["model"], known["small"]
    assert float(known["sparsity"].stored_sparsity()) == pytest.approx(0.5, abs=0.05)
    assert small.count_params() < dense.count_params()
    assert not any(isinstance(layer, flop_tf.gates.Gate) for layer in small._flatten_layers())
    np.testing.assert_allclose(small.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)


def test_a_bert(snippets, tmp_path, monkeypatch):
    (code,) = [text for text in snippets if "bert_tf.load(" in text]
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", encoding="utf-8")
    model = BertClassifier(BertConfig(5, 8, 1, 2, 12, max_position_embeddings=8))
    tokenizer = Tokenizer(str(tmp_path / "vocab.txt"))
    model_dir.save(tmp_path / "runs/compact", model, tokenizer)
    monkeypatch.chdir(tmp_path)
    known = {}
    exec(code, known)
    assert known["model"].config == model.config and known["tokenizer"].vocab == tokenizer.vocab
