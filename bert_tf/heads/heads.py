"""The model of each task head."""

from bert_tf.heads.classifier import BertClassifier
from bert_tf.heads.masked_lm import BertMaskedLM
from bert_tf.heads.span_labeler import BertSpanLabeler

#: Models by the `head` of their config.
MODELS = {"classifier": BertClassifier, "span": BertSpanLabeler, "mlm": BertMaskedLM}


def make(config):
    """Returns a new model of a `BertConfig`, with the head that it names."""
    return MODELS[config.head](config)
