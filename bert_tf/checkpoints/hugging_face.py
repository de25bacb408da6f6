"""Hugging Face folders: `config.json` and safetensors, with or without the prefix `bert.`."""

import re
from typing import TypedDict

import numpy as np

from bert_tf.checkpoints import config_keys
from bert_tf.checkpoints.translation import From, translate
from bert_tf.models.weight_paths import POOLER, in_encoder
from flop_tf.files import json_file

FORMAT = "hugging_face"
CONFIG_FILE = "config.json"

#: A buffer of old versions and the heads of pretraining.
IGNORED = r"embeddings\.position_ids|cls\..*"

_BLOCK = "encoder.layer.{i}"

# Whatever is outside of the encoder; then it belongs to a head that is left out.
_OF_A_HEAD = r"(?!(embeddings|encoder|pooler)\.).*"

# The heads that this project has by the class of `transformers`, named by a weight of theirs.
_CLASSIFIER, _SPAN, _MLM = "classifier.weight", "qa_outputs.weight", "cls.predictions.bias"
_POOLER = "pooler.dense.weight"
_ARCHITECTURES = {
    "BertModel": None,
    "BertForPreTraining": _MLM,
    "BertForMaskedLM": _MLM,
    "BertForSequenceClassification": _CLASSIFIER,
    "BertForQuestionAnswering": _SPAN,
}
_PROBLEMS = (None, "single_label_classification", "regression")


class _Task(TypedDict, total=False):
    architectures: list[str] | None
    problem_type: str | None
    model_type: str | None
    tokenizer_class: str | None


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

    A head that this project lacks is left out, see `missing_head`.

    Args:
      variables: `Variables` of its safetensors.
      config_file: its `config.json`.
      table: `TABLE`, or with `MLM_TABLE` added to it where the head of pretraining is wanted.

    Raises:
      ValueError: if the model is no BERT or does not fit its config.
    """
    _check_type(config_file)
    config, *_ = config_keys.read(config_file)
    renamed = variables.renamed({_plain_name(name): name for name in variables.shapes})
    if not missing_head(variables, config_file):
        return translate(renamed, table, config, IGNORED, optional=POOLER)
    table = {path: row for path, row in table.items() if in_encoder(path)}
    return translate(renamed, table, config, _OF_A_HEAD, optional=POOLER)


def missing_head(variables, config_file):
    """Returns what the head of a folder is called if this project lacks it, else "".

    Args:
      variables: `Variables` of its safetensors.
      config_file: its `config.json`.
    """
    about = _about(config_file)
    (architecture, *_) = about.get("architectures") or (None,)
    shapes = {_plain_name(name): shape for name, shape in variables.shapes.items()}
    heads = {_CLASSIFIER, _SPAN} & set(shapes)
    if architecture is not None and (
        architecture not in _ARCHITECTURES or heads - {_ARCHITECTURES[architecture]}
    ):
        return architecture
    if _CLASSIFIER not in heads:
        return ""
    if _POOLER not in shapes:
        return "a classifier that reads no pooler"
    problem = about.get("problem_type")
    if problem not in _PROBLEMS or problem == "regression" and shapes[_CLASSIFIER][0] > 1:
        outputs = shapes[_CLASSIFIER][0]
        return f"a classifier with the problem_type {problem!r} and {outputs} outputs"
    return ""


def _check_type(config_file):
    model_type = _about(config_file).get("model_type") or "bert"
    if model_type != "bert":
        raise ValueError(
            f"The config {config_file!r} must have the model_type 'bert', received {model_type!r}; "
            "only BERT itself can be imported."
        )


def _about(config_file):
    return json_file.read(config_file, _Task, "BERT config")


def _plain_name(name):
    """Drops the prefix `bert.` and gives LayerNorm weights their present names."""
    name = name.removeprefix("bert.")
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
