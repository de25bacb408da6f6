"""BERT for `flop_tf`: encoder, checkpoints, tasks and the steps of the chain."""

from bert_tf.checkpoints.model_dir import load, load_info, load_tokenizer
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel

__all__ = [
    "EncoderConfig",
    "BertModel",
    "load",
    "load_info",
    "load_tokenizer",
]
