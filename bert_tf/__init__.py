"""BERT for `flop_tf`: encoder, checkpoints, tasks and the steps of the chain."""

from bert_tf.checkpoints.model_dir import load, load_info, load_tokenizer
from bert_tf.encoders.config import BertConfig
from bert_tf.heads.classifier import BertClassifier
from bert_tf.heads.span_labeler import BertSpanLabeler

__all__ = [
    "BertClassifier",
    "BertConfig",
    "BertSpanLabeler",
    "load",
    "load_info",
    "load_tokenizer",
]
