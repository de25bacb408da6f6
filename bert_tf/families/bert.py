"""BERT, as Google, `transformers` and tf-models store it."""

import dataclasses

import numpy as np

from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.family import Family, register_family
from bert_tf.families.names import BLOCK, EMBEDDINGS, LINEAR, NORM, From, Names, layers
from bert_tf.models.weight_paths import POOLER

# Fields that no foreign config has: ours, and those in which other families differ.
_OURS = {
    *("layers", "gates", "embedding_size", "position_offset", "pooler_act"),
    *("word_embedding_rank", "pooling", "normalized"),
}


def _join_outputs(array):
    """Turns `[H, N, D]` into `[H, N * D]`."""
    return array.reshape(len(array), -1)


def _join_inputs(array):
    """Turns `[N, D, H]` into `[N * D, H]`."""
    return array.reshape(-1, array.shape[-1])


# Names of `transformers`, from which Google's follow.
_DENSE = {
    f"{BLOCK}.query": "encoder.layer.{i}.attention.self.query",
    f"{BLOCK}.key": "encoder.layer.{i}.attention.self.key",
    f"{BLOCK}.value": "encoder.layer.{i}.attention.self.value",
    f"{BLOCK}.attention_output": "encoder.layer.{i}.attention.output.dense",
    f"{BLOCK}.ffn_in": "encoder.layer.{i}.intermediate.dense",
    f"{BLOCK}.ffn_out": "encoder.layer.{i}.output.dense",
    "encoder.pooler": "pooler.dense",
    "mlm.dense": "cls.predictions.transform.dense",
}
_NORMS = {
    f"{EMBEDDINGS}.layer_norm": "embeddings.LayerNorm",
    f"{BLOCK}.attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
    f"{BLOCK}.ffn_norm": "encoder.layer.{i}.output.LayerNorm",
    "mlm.layer_norm": "cls.predictions.transform.LayerNorm",
}
_TABLES = {
    f"{EMBEDDINGS}.{name}": f"embeddings.{name}"
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings")
}


def _google(names):
    """Returns Google's names, such as `bert/encoder/layer_{i}/output/dense`."""
    return {
        path: ("" if path.startswith("mlm.") else "bert/")
        + name.replace("layer.{i}", "layer_{i}").replace(".", "/")
        for path, name in names.items()
    }


def _google_tf1():
    return {
        **{path: From(name) for path, name in _google(_TABLES).items()},
        **layers(_google(_DENSE), {"kernel": From("/kernel"), "bias": From("/bias")}),
        **layers(_google(_NORMS), {"gamma": From("/gamma"), "beta": From("/beta")}),
        "classifier.kernel": From("output_weights", np.transpose),
        "classifier.bias": From("output_bias"),
        "span.kernel": From("cls/squad/output_weights", np.transpose),
        "span.bias": From("cls/squad/output_bias"),
        "mlm.output_bias": From("cls/predictions/output_bias"),
    }


def _hugging_face():
    dense = _DENSE | {"classifier": "classifier", "span": "qa_outputs", "tokens": "classifier"}
    return {
        **{path: From(f"{name}.weight") for path, name in _TABLES.items()},
        **layers(dense, LINEAR),
        **layers(_NORMS, NORM),
        "mlm.output_bias": From("cls.predictions.bias"),
    }


def _tf_models():
    block = "_transformer_layers/{i}"
    attention = f"{block}/_attention_layer"
    split = {f"{BLOCK}.{name}": f"{attention}/_{name}_dense" for name in ("query", "key", "value")}
    joined = {f"{BLOCK}.attention_output": f"{attention}/_output_dense"}
    dense = {
        f"{BLOCK}.ffn_in": f"{block}/_intermediate_dense",
        f"{BLOCK}.ffn_out": f"{block}/_output_dense",
        "encoder.pooler": "_pooler_layer",
        "classifier": "classifier/out_proj",
    }
    norms = {
        f"{EMBEDDINGS}.layer_norm": "_embedding_norm_layer",
        f"{BLOCK}.attention_norm": f"{block}/_attention_layer_norm",
        f"{BLOCK}.ffn_norm": f"{block}/_output_layer_norm",
    }
    positions = "_position_embedding_layer/_position_embeddings"
    kernel, bias = From("/kernel"), From("/bias")
    return {
        f"{EMBEDDINGS}.word_embeddings": From("_embedding_layer/embeddings"),
        f"{EMBEDDINGS}.position_embeddings": From(positions),
        f"{EMBEDDINGS}.token_type_embeddings": From("_type_embedding_layer/embeddings"),
        **layers(
            split, {"kernel": From("/kernel", _join_outputs), "bias": From("/bias", np.ravel)}
        ),
        **layers(joined, {"kernel": From("/kernel", _join_inputs), "bias": bias}),
        **layers(dense, {"kernel": kernel, "bias": bias}),
        **layers(norms, {"gamma": From("/gamma"), "beta": From("/beta")}),
    }


@register_family("bert")
class Bert(Family):
    """BERT, with the keys of Google and all that `transformers` has written since 2019.

    They are in one table, because folders of both exist with the config of the other.
    Reference: arXiv 1810.04805.
    """

    names = {
        # Ignored are optimizer slots, the step and the heads of pretraining.
        "google_tf1": Names(
            _google_tf1(),
            ignored=r"cls/.*|.*/(adam_[mv]|Adam(_1)?)|global_step|beta[12]_power",
            optional=POOLER,
        ),
        # Ignored are a buffer of old versions and the heads of pretraining.
        "hugging_face": Names(
            _hugging_face(),
            ignored=r"embeddings\.position_ids|cls\..*",
            prefix="bert.",
            optional=POOLER,
        ),
        "tf_models": Names(_tf_models()),
    }
    architectures = {
        "BertModel": None,
        "BertForPreTraining": "mlm",
        "BertForMaskedLM": "mlm",
        "BertForSequenceClassification": "classifier",
        "BertForQuestionAnswering": "span",
        "BertForTokenClassification": "tokens",
    }
    known = frozenset({field.name for field in dataclasses.fields(EncoderConfig)} - _OURS)
    #: Names of the embeddings' width, which must be `hidden_size`.
    widths = ("embedding_size", "emb_size")
    only = {
        "add_cross_attention": (False, None),
        "auto_map": (None, {}),
        "cross_attention_hidden_size": (None,),
        "directionality": ("bidi",),
        "is_decoder": (False, None),
        "is_encoder_decoder": (False, None),
        "layer_norm_type": ("post", "post_ln", None),
        "pooler_type": ("first_token_transform",),
        "position_embedding_type": ("absolute", None),
        "pruned_heads": ({}, None),
        "quantization_config": (None, {}),
        "tie_encoder_decoder": (False, None),
        "tie_word_embeddings": (True, None),
    }
    #: Notes, settings of training and of text generation, and sizes of heads that BERT never had.
    harmless = frozenset(
        """
    _attn_implementation _attn_implementation_autoset _attn_implementation_internal _commit_hash
    _name_or_path _num_labels attn_implementation
    bad_words_ids begin_suppress_tokens bos_token_id cell chunk_size_feed_forward
    classifier_dropout decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task
    forced_bos_token_id forced_eos_token_id gradient_checkpointing language length_penalty
    max_length min_length name no_repeat_ngram_size num_beam_groups num_beams num_return_sequences
    output_attentions output_hidden_states output_past output_scores pad_token_id pooler_fc_size
    pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pre_trained prefix
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate
    sentence_transformers sep_token_id structure suppress_tokens task_specific_params temperature
    tf_legacy_loss top_k top_p torch_dtype torchscript training transformers_version typical_p
    use_bfloat16 use_cache
    """.split()
    )

    @classmethod
    def only_of(cls, data):
        """Returns `only`, and that embeddings are as wide as hidden states."""
        return cls.only | {name: (data.get("hidden_size"),) for name in cls.widths}
