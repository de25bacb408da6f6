"""BERT for `flop_tf`: encoder, checkpoints, tasks and the steps of the chain."""

from bert_tf.model.classifier import BertClassifier
from bert_tf.model.config import BertConfig
from bert_tf.model.span_labeler import BertSpanLabeler
from bert_tf.model_dir import load, load_info, load_tokenizer

__all__ = [
    "BertClassifier",
    "BertConfig",
    "BertSpanLabeler",
    "load",
    "load_info",
    "load_tokenizer",
]
