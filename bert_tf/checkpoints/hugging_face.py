"""Hugging Face folders: `config.json` and safetensors, with or without the prefix `bert.`."""

import json
import re

import numpy as np

from bert_tf.checkpoints.translation import From, translate
from bert_tf.model.config import BertConfig
from bert_tf.model.weight_paths import POOLER

FORMAT = "hugging_face"
CONFIG_FILE = "config.json"

#: A buffer of old versions and the heads of pretraining.
IGNORED = r"embeddings\.position_ids|cls\..*"

_BLOCK = "encoder.layer.{i}"

# Of the heads that do not read it: question answering and masked language modelling.
_WITHOUT_POOLER = {"qa_outputs.weight", "cls.predictions.bias"}

#: Linear weights are `[O, I]`.
TABLE = {
    "encoder.embeddings.word_embeddings": From("embeddings.word_embeddings.weight"),
    "encoder.embeddings.position_embeddings": From("embeddings.position_embeddings.weight"),
    "encoder.embeddings.token_type_embeddings": From("embeddings.token_type_embeddings.weight"),
    "encoder.embeddings.layer_norm.gamma": From("embeddings.LayerNorm.weight"),
    "encoder.embeddings.layer_norm.beta": From("embeddings.LayerNorm.bias"),
    "encoder.blocks.{i}.query.kernel": From(f"{_BLOCK}.attention.self.query.weight", np.transpose),
    "encoder.blocks.{i}.query.bias": From(f"{_BLOCK}.attention.self.query.bias"),
    "encoder.blocks.{i}.key.kernel": From(f"{_BLOCK}.attention.self.key.weight", np.transpose),
    "encoder.blocks.{i}.key.bias": From(f"{_BLOCK}.attention.self.key.bias"),
    "encoder.blocks.{i}.value.kernel": From(f"{_BLOCK}.attention.self.value.weight", np.transpose),
    "encoder.blocks.{i}.value.bias": From(f"{_BLOCK}.attention.self.value.bias"),
    "encoder.blocks.{i}.attention_output.kernel": From(
        f"{_BLOCK}.attention.output.dense.weight", np.transpose
    ),
    "encoder.blocks.{i}.attention_output.bias": From(f"{_BLOCK}.attention.output.dense.bias"),
    "encoder.blocks.{i}.attention_norm.gamma": From(f"{_BLOCK}.attention.output.LayerNorm.weight"),
    "encoder.blocks.{i}.attention_norm.beta": From(f"{_BLOCK}.attention.output.LayerNorm.bias"),
    "encoder.blocks.{i}.ffn_in.kernel": From(f"{_BLOCK}.intermediate.dense.weight", np.transpose),
    "encoder.blocks.{i}.ffn_in.bias": From(f"{_BLOCK}.intermediate.dense.bias"),
    "encoder.blocks.{i}.ffn_out.kernel": From(f"{_BLOCK}.output.dense.weight", np.transpose),
    "encoder.blocks.{i}.ffn_out.bias": From(f"{_BLOCK}.output.dense.bias"),
    "encoder.blocks.{i}.ffn_norm.gamma": From(f"{_BLOCK}.output.LayerNorm.weight"),
    "encoder.blocks.{i}.ffn_norm.beta": From(f"{_BLOCK}.output.LayerNorm.bias"),
    "encoder.pooler.kernel": From("pooler.dense.weight", np.transpose),
    "encoder.pooler.bias": From("pooler.dense.bias"),
    "classifier.kernel": From("classifier.weight", np.transpose),
    "classifier.bias": From("classifier.bias"),
    "span.kernel": From("qa_outputs.weight", np.transpose),
    "span.bias": From("qa_outputs.bias"),
}


#: The head of masked language modelling, whose decoder is the word embedding.
MLM_TABLE = {
    "mlm.dense.kernel": From("cls.predictions.transform.dense.weight", np.transpose),
    "mlm.dense.bias": From("cls.predictions.transform.dense.bias"),
    "mlm.layer_norm.gamma": From("cls.predictions.transform.LayerNorm.weight"),
    "mlm.layer_norm.beta": From("cls.predictions.transform.LayerNorm.bias"),
    "mlm.output_bias": From("cls.predictions.bias"),
}


def read(variables, config_file, table=TABLE):
    """Returns `(config, weights)` of a folder.

    Args:
      variables: `Variables` of its safetensors.
      config_file: its `config.json`.
      table: `TABLE`, or with `MLM_TABLE` added to it where the head of pretraining is wanted.

    Raises:
      ValueError: if the model is no BERT or does not fit its config.
    """
    config = BertConfig.from_json_file(config_file)
    with open(config_file, encoding="utf-8") as file:
        model_type = json.load(file).get("model_type", "bert")
    if model_type != "bert":
        raise ValueError(
            f"The config {config_file!r} must have the model_type 'bert', received {model_type!r}; "
            "only BERT itself can be imported."
        )
    renamed = variables.renamed({_plain_name(name): name for name in variables.shapes})
    # transformers gives models with these heads no pooler, and older releases do.
    if _WITHOUT_POOLER & set(renamed.shapes) and "pooler.dense.weight" not in renamed.shapes:
        table = {path: row for path, row in table.items() if path not in POOLER}
    return translate(renamed, table, config, IGNORED)


def _plain_name(name):
    """Drops the prefix `bert.` and gives LayerNorm weights their present names."""
    name = name.removeprefix("bert.")
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
