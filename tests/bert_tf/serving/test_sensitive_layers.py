"""A format of integers that is too far off keeps the layers in float that hurt."""

import dataclasses

import latency_tables
import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import sensitive_layers, services, trials
from bert_tf.serving.comparison import Comparison
from bert_tf.serving.dense_comparison import DenseComparison
from bert_tf.serving.formats.limits import Limits
from bert_tf.serving.formats.onnx_int8 import OnnxInt8
from bert_tf.serving.planned_model import PlannedModels
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer

pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")


CONFIG = EncoderConfig(
    vocab_size=22,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=16,
    initializer_range=0.3,
)


@pytest.fixture
def dense():
    """Of a dense model one engine alone is not timed."""
    return DenseComparison(CONFIG, {}, (1, 8), "m")


@pytest.fixture(scope="module")
def comparison_of(vocab_file):
    """Returns what makes a model of so many words, and compares it.

    A neuron of the second block is always 1,000 and counts next to nothing: as an input of FFN out
    it takes all integers from the others. So does the last of more than 22 words, in each channel.
    """
    tokenizer = Tokenizer(vocab_file)

    def make(vocab_size):
        config = dataclasses.replace(CONFIG, vocab_size=vocab_size)
        model = BertModel(config)
        block = model.encoder.blocks[1]
        bias, kernel = block.ffn_in.bias.numpy(), block.ffn_out.kernel.numpy()
        bias[3], kernel[3] = 1000.0, 0.0
        block.ffn_in.bias.assign(bias)
        block.ffn_out.kernel.assign(kernel)
        words = model.encoder.trainable_variables[0]
        assert words.shape == (vocab_size, 16)
        if vocab_size > 22:
            words.assign(np.concatenate([words[:-1], np.full([1, 16], 100.0)]))
        service = services.get(registry.get("SST-2"), tokenizer, 11)
        tables = {"onnx_int8": latency_tables.make(hidden_size=16, head_size=8)}
        return PlannedModels(model, service, tables), Comparison(model, service)

    return make


@pytest.fixture(scope="module")
def compared_model(comparison_of):
    return comparison_of(22)


def test_the_layer_that_hurts_stays_in_float(compared_model, dense, tmp_path, monkeypatch):
    planned, compared = compared_model
    monkeypatch.setattr(OnnxInt8, "limits", Limits(percentile_99=0.1))
    chosen = [("onnxruntime_int8", "onnx_int8")]
    (row,) = trials.write(chosen, planned, str(tmp_path), compared, dense)
    assert row["float_layers"] == ["encoder/block_1/ffn_out/MatMul"] and row["percentile_99"] <= 0.1


def test_of_two_layers_that_hurt_the_smaller_one_is_the_first(comparison_of, tmp_path):
    planned, compared = comparison_of(4000)
    served, form = planned.served("onnx_int8"), OnnxInt8()
    form.write(served, str(tmp_path))
    engine = "onnxruntime_int8"
    found = sensitive_layers.candidates(engine, form, served, str(tmp_path), compared)
    names, _ = next(found)
    assert names == ["encoder/block_1/ffn_out/MatMul"]
    assert any("embeddings" in name for layers, _ in found for name in layers)


def test_where_no_layer_helps_the_format_is_left_out(compared_model, dense, tmp_path, monkeypatch):
    planned, compared = compared_model
    monkeypatch.setattr(OnnxInt8, "limits", Limits(percentile_99=0.0))
    with pytest.raises(ValueError, match="onnx_int8 by onnxruntime_int8 is too far .* differ by"):
        trials.write([("onnxruntime_int8", "onnx_int8")], planned, str(tmp_path), compared, dense)
    assert not list(tmp_path.iterdir())


def test_the_mean_difference_is_of_the_first_requests(compared_model):
    _, compared = compared_model
    given = [{**one, "logits": one["logits"] + 0.5} for one in compared.source]
    assert compared.mean_difference(given[:2]) == pytest.approx(0.5, abs=1e-5)
    given[0]["logits"] = np.full_like(given[0]["logits"], np.nan)
    assert compared.mean_difference(given) == np.inf
