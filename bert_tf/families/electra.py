"""ELECTRA, as `transformers` stores it: narrow embeddings, a GELU before the classifier."""

from bert_tf.families.bert import Bert
from bert_tf.families.family import register_family
from bert_tf.families.names import LINEAR, Names, layers, without
from bert_tf.models.weight_paths import POOLER

_DENSE = {
    "encoder.embeddings.projection": "embeddings_project",
    "encoder.pooler": "classifier.dense",
    "classifier": "classifier.out_proj",
}
# Of the discriminator, which is the model that users fine-tune.
_WIDTH = 128


def _table():
    """Returns BERT's names with another projection of the embeddings and another classifier."""
    table = Bert.names["hugging_face"].of_task_heads()
    same = without(table, "encoder.pooler", "classifier")
    return {**same, **layers(_DENSE, LINEAR)}


@register_family("electra")
class Electra(Bert):
    """A BERT whose embeddings have a width of their own, and whose classifier has a GELU in front.

    The generator's head is not read: only the discriminator is fine-tuned. Reference:
    arXiv 2003.10555.
    """

    # Ignored are a buffer of old versions and the heads of pretraining.
    names = {
        "hugging_face": Names(
            _table(),
            ignored=r"embeddings\.position_ids|(discriminator|generator)_.*",
            prefix="electra.",
            optional=POOLER,
        )
    }
    architectures = {
        "ElectraModel": None,
        "ElectraForPreTraining": None,
        "ElectraForSequenceClassification": "classifier",
        "ElectraForQuestionAnswering": "span",
        "ElectraForTokenClassification": "tokens",
    }
    widths = ()
    known = Bert.known | {"embedding_size"}
    #: Of heads that choose among several texts.
    harmless = Bert.harmless | {
        *("summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj")
    }

    @classmethod
    def fields(cls, data):
        """See `Family`."""
        found = super().fields(data)
        width = found.pop("embedding_size", _WIDTH)
        if width != found.get("hidden_size"):
            found["embedding_size"] = width
        return {**found, "pooler_act": "gelu"}

    @classmethod
    def foreign(cls, config):
        """See `Family`."""
        return {**super().foreign(config), "embedding_size": config.embedding_width}
