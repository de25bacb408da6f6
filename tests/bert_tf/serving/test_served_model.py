"""The functions that are exported."""

import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.serving import services
from bert_tf.serving.served_model import ServedModel
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
