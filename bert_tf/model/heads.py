"""The model of each task head."""

from bert_tf.model.classifier import BertClassifier
from bert_tf.model.masked_lm import BertMaskedLM
from bert_tf.model.span_labeler import BertSpanLabeler

#: Models by the `head` of their config.
MODELS = {"classifier": BertClassifier, "span": BertSpanLabeler, "mlm": BertMaskedLM}


def make(config):
    """Returns a new model of a `BertConfig`, with the head that it names."""
    return MODELS[config.head](config)
