"""DistilBERT, as `transformers` stores it: no segments, a ReLU before the classifier."""

from bert_tf.families.bert import Bert
from bert_tf.families.family import register_family
from bert_tf.families.names import BLOCK, EMBEDDINGS, LINEAR, NORM, From, Names, layers
from bert_tf.models.weight_paths import POOLER

_DENSE = {
    f"{BLOCK}.query": "transformer.layer.{i}.attention.q_lin",
    f"{BLOCK}.key": "transformer.layer.{i}.attention.k_lin",
    f"{BLOCK}.value": "transformer.layer.{i}.attention.v_lin",
    f"{BLOCK}.attention_output": "transformer.layer.{i}.attention.out_lin",
    f"{BLOCK}.ffn_in": "transformer.layer.{i}.ffn.lin1",
    f"{BLOCK}.ffn_out": "transformer.layer.{i}.ffn.lin2",
    "encoder.pooler": "pre_classifier",
    "classifier": "classifier",
    "span": "qa_outputs",
    "tokens": "classifier",
    "mlm.dense": "vocab_transform",
}
_NORMS = {
    f"{EMBEDDINGS}.layer_norm": "embeddings.LayerNorm",
    f"{BLOCK}.attention_norm": "transformer.layer.{i}.sa_layer_norm",
    f"{BLOCK}.ffn_norm": "transformer.layer.{i}.output_layer_norm",
    "mlm.layer_norm": "vocab_layer_norm",
}
_TABLE = {
    f"{EMBEDDINGS}.word_embeddings": From("embeddings.word_embeddings.weight"),
    f"{EMBEDDINGS}.position_embeddings": From("embeddings.position_embeddings.weight"),
    **layers(_DENSE, LINEAR),
    **layers(_NORMS, NORM),
    "mlm.output_bias": From("vocab_projector.bias"),
}

#: Our fields by the keys of a config.
_FIELDS = {
    "activation": "hidden_act",
    "attention_dropout": "attention_probs_dropout_prob",
    "dim": "hidden_size",
    "dropout": "hidden_dropout_prob",
    "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_layers": "num_hidden_layers",
}


@register_family("distilbert")
class DistilBert(Bert):
    """A BERT without segments whose classifier has a ReLU in front.

    Positions made of sines are stored as weights, as learned ones are.
    Reference: arXiv 1910.01108.
    """

    # Ignored are the head of pretraining, tied to the word embedding, and a buffer of old versions.
    names = {
        "hugging_face": Names(
            _TABLE,
            ignored=r"vocab_.*|embeddings\.position_ids",
            prefix="distilbert.",
            optional=POOLER,
        )
    }
    architectures = {
        "DistilBertModel": None,
        "DistilBertForMaskedLM": "mlm",
        "DistilBertForSequenceClassification": "classifier",
        "DistilBertForQuestionAnswering": "span",
        "DistilBertForTokenClassification": "tokens",
    }
    widths = ()
    known = frozenset(_FIELDS) | {"vocab_size", "max_position_embeddings", "initializer_range"}
    harmless = Bert.harmless | {
        *("qa_dropout", "seq_classif_dropout", "sinusoidal_pos_embds", "tie_weights")
    }

    @classmethod
    def fields(cls, data):
        """See `Family`."""
        found = {_FIELDS.get(key, key): value for key, value in super().fields(data).items()}
        return {**found, "type_vocab_size": 0, "pooler_act": "relu"}

    @classmethod
    def foreign(cls, config):
        """See `Family`."""
        found = Bert.foreign(config)
        theirs = {key: found[field] for key, field in _FIELDS.items()}
        return {**theirs, **{key: found[key] for key in cls.known - theirs.keys()}}
