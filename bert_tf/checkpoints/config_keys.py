"""The config of a foreign BERT: every key is read, changes nothing, or ends the import.

Google's keys and those that `transformers` has written since 2019 are in one table, because
folders of both exist with the config of the other.
"""

import dataclasses
import reprlib

from bert_tf.checkpoints import labels
from bert_tf.encoders.config import BertConfig
from flop_tf.files import json_file

# Ours alone: no foreign format can hold what they say.
_OURS = {"layers", "gates"}

#: Keys that are heard here or in `hugging_face`.
READ = {field.name for field in dataclasses.fields(BertConfig)} - _OURS | {
    "architectures",
    "id2label",
    "label2id",
    "model_type",
    "problem_type",
    "tokenizer_class",
}

#: Values that say what this BERT computes anyway; with others it would give other numbers.
ONLY = {
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

#: Other names of `hidden_size` in models whose embeddings may have another width.
WIDTHS = ("embedding_size", "emb_size")

#: Notes, settings of training and of text generation, and sizes of heads that BERT never had.
HARMLESS = set(
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


def read(path):
    """Reads the config of a foreign BERT.

    Args:
      path: of the JSON file.

    Returns:
      `(BertConfig, the JSON object, names of its labels or None)`.

    Raises:
      ValueError: if it is damaged, of no BERT, or has a key that would not be heard.
    """
    data = json_file.read(path, json_file.Object, "BERT config")
    subject = f"The BERT config {str(path)!r}"
    widths = {name: (data.get("hidden_size"),) for name in WIDTHS}
    check_keys(data, subject, READ, ONLY | widths, HARMLESS)
    return BertConfig.from_json_file(path), data, labels.read(data, subject)


def check_keys(data, subject, read_keys, only, harmless):
    """Raises ValueError where a config may say something that would not be heard.

    Args:
      data: the config, a dict.
      subject: with which the error begins: "The BERT config 'x'".
      read_keys: keys that the reader hears.
      only: the values, by key, with which a key changes nothing.
      harmless: keys that change nothing with any value.
    """
    for key, value in data.items():
        if key in only:
            if value not in only[key]:
                raise ValueError(
                    f"{subject} must have {key} {only[key][0]!r}, all that is supported, "
                    f"received {reprlib.repr(value)}."
                )
        elif key not in read_keys and key not in harmless:
            raise ValueError(
                f"{subject} has the key {key!r} with the value {reprlib.repr(value)}, which is not "
                "known and may change the results; remove it from a copy of the file if it "
                "changes nothing."
            )
