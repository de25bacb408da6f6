"""RoBERTa, XLM-RoBERTa and CamemBERT, as `transformers` stores them: other positions and heads."""

from bert_tf.families.bert import Bert
from bert_tf.families.family import register_family
from bert_tf.families.names import LINEAR, NORM, From, Names, layers, without
from bert_tf.models.weight_paths import POOLER

# Of a model with a classifier; without a head `pooler.dense` is what BERT has, and is not used.
_DENSE = {
    "encoder.pooler": "classifier.dense",
    "classifier": "classifier.out_proj",
    "mlm.dense": "lm_head.dense",
}
_NORMS = {"mlm.layer_norm": "lm_head.layer_norm"}
# The padding token of models whose config does not say it.
_PADDING = 1


def _table():
    """Returns BERT's names with another classifier and another head of masked words."""
    table = Bert.names["hugging_face"].table
    same = without(table, "encoder.pooler", "classifier", "mlm.")
    bias = {"mlm.output_bias": From("lm_head.bias")}
    return {**same, **layers(_DENSE, LINEAR), **layers(_NORMS, NORM), **bias}


@register_family("roberta")
@register_family("xlm-roberta")
@register_family("camembert")
class Roberta(Bert):
    """A BERT of one segment whose positions are counted from the padding token's id on.

    Reference: arXiv 1907.11692, 1911.02116 and 1911.03894.
    """

    # Ignored are buffers of old versions, the layer on the first token of models without a head,
    # and the head of pretraining, whose last product is tied to the word embedding.
    names = {
        "hugging_face": Names(
            _table(),
            ignored=r"embeddings\.position_ids|pooler\..*|lm_head\..*",
            prefix="roberta.",
            optional=POOLER,
        )
    }
    architectures = {
        f"{family}{name}": head
        for family in ("Roberta", "XLMRoberta", "Camembert")
        for name, head in {
            "Model": None,
            "ForMaskedLM": "mlm",
            "ForSequenceClassification": "classifier",
            "ForQuestionAnswering": "span",
            "ForTokenClassification": "tokens",
        }.items()
    }
    known = Bert.known | {"pad_token_id"}
    harmless = Bert.harmless - {"pad_token_id"}

    @classmethod
    def fields(cls, data):
        """See `Family`."""
        found = super().fields(data)
        padding = found.pop("pad_token_id", _PADDING)
        if type(padding) is not int or padding < 0:
            raise ValueError(
                f"Key 'pad_token_id' must be a whole number of at least 0, received {padding!r}."
            )
        return {**found, "position_offset": padding + 1}

    @classmethod
    def foreign(cls, config):
        """See `Family`."""
        return {**super().foreign(config), "pad_token_id": config.position_offset - 1}
