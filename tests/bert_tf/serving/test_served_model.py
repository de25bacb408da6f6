"""The functions that are exported."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.serving import services
from bert_tf.serving.served_model import FEW_TOKENS, ServedModel
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer


@pytest.mark.parametrize(
    ("rules", "own"),
    [
        ({}, {"FastBertNormalize"}),
        ({"special_tokens": ["[SEP]"]}, {"FastBertNormalize"}),
        ({"tokenize_chinese_chars": False}, set()),
    ],
)
def test_texts_need_no_operations_that_old_servers_lack(vocab_file, rules, own):
    """Releases of TensorFlow Serving link a tensorflow-text as old as 2.12, which has these."""
    config = EncoderConfig(
        vocab_size=22,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
    )
    service = services.get(registry.get("MNLI"), Tokenizer(vocab_file, **rules), 16)
    served = ServedModel(BertModel(config), service, 16)
    signatures = served.signatures()
    assert list(signatures) == ["serving_default", "text"]
    graph = signatures["text"].graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert {node.op for node in nodes if not hasattr(tf.raw_ops, node.op)} == own | {
        "FastWordpieceTokenizeWithOffsets",
        "NormalizeUTF8",
        "RegexSplitWithOffsets",
    }


@pytest.fixture
def served(vocab_file):
    config = EncoderConfig(
        vocab_size=22,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        num_labels=3,
        initializer_range=0.5,
    )
    model = BertModel(config)
    service = services.get(registry.get("MNLI"), Tokenizer(vocab_file), 400)
    return model, ServedModel(model, service, 400)


@pytest.mark.parametrize(
    ("size", "length"),
    [(1, 1), (1, 16), (16, 16), (1, FEW_TOKENS), (1, FEW_TOKENS + 1), (17, 16), (1, 450)],
)
def test_few_and_many_tokens_have_the_answers_of_the_model(served, size, length):
    model, one = served
    rng = np.random.default_rng(0)
    mask = np.ones((size, length), np.int32)
    mask[:, length // 2 + 1 :] = 0
    arrays = [rng.integers(0, high, mask.shape).astype(np.int32) for high in (22, 2)]
    ids = [arrays[0], mask, arrays[1]]
    features = {n: a[:, :400] for n, a in zip(INPUT_NAMES, ids, strict=True)}
    logits = model(features, training=False).numpy()
    np.testing.assert_allclose(one.serving_default(*ids)["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(one.portable_numbers(*ids)["logits"], logits, atol=1e-5)


def test_a_small_request_has_forms_of_its_own(served, tmp_path):
    """It shares the weights, which are stored once, and other formats have one form."""
    model, one = served
    graph = one.numbers.get_concrete_function().graph.as_graph_def()
    branches = {
        name: {node.op for node in function.node_def}
        for function in graph.library.function
        for name in ("true", "false")
        if f"_{name}_" in function.signature.name
    }
    assert {"Einsum", "Mean"} <= branches["true"] and "FusedBatchNormV3" not in branches["true"]
    assert "FusedBatchNormV3" in branches["false"] and "Einsum" not in branches["false"]
    portable = one.portable_numbers.get_concrete_function().graph.as_graph_def()
    assert not {node.op for node in portable.node} & {"If", "StatelessIf"}
    tf.saved_model.save(one, str(tmp_path), signatures=one.signatures())
    size = (tmp_path / "variables/variables.data-00000-of-00001").stat().st_size
    assert (
        size < 1.3 * sum(4 * variable.shape.num_elements() for variable in model.variables) + 8192
    )
