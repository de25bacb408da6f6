"""Google's TF1 checkpoints: pretrained, or fine-tuned by `run_classifier.py` or `run_squad.py`."""

import numpy as np

from bert_tf.checkpoints import config_keys
from bert_tf.checkpoints.translation import From, translate
from bert_tf.models.weight_paths import POOLER

FORMAT = "google_tf1"
CONFIG_FILE = "bert_config.json"

#: Optimizer slots, the step and the heads of pretraining.
IGNORED = r"cls/.*|.*/(adam_[mv]|Adam(_1)?)|global_step|beta[12]_power"

_BLOCK = "bert/encoder/layer_{i}"

TABLE = {
    "encoder.embeddings.word_embeddings": From("bert/embeddings/word_embeddings"),
    "encoder.embeddings.position_embeddings": From("bert/embeddings/position_embeddings"),
    "encoder.embeddings.token_type_embeddings": From("bert/embeddings/token_type_embeddings"),
    "encoder.embeddings.layer_norm.gamma": From("bert/embeddings/LayerNorm/gamma"),
    "encoder.embeddings.layer_norm.beta": From("bert/embeddings/LayerNorm/beta"),
    "encoder.blocks.{i}.query.kernel": From(f"{_BLOCK}/attention/self/query/kernel"),
    "encoder.blocks.{i}.query.bias": From(f"{_BLOCK}/attention/self/query/bias"),
    "encoder.blocks.{i}.key.kernel": From(f"{_BLOCK}/attention/self/key/kernel"),
    "encoder.blocks.{i}.key.bias": From(f"{_BLOCK}/attention/self/key/bias"),
    "encoder.blocks.{i}.value.kernel": From(f"{_BLOCK}/attention/self/value/kernel"),
    "encoder.blocks.{i}.value.bias": From(f"{_BLOCK}/attention/self/value/bias"),
    "encoder.blocks.{i}.attention_output.kernel": From(f"{_BLOCK}/attention/output/dense/kernel"),
    "encoder.blocks.{i}.attention_output.bias": From(f"{_BLOCK}/attention/output/dense/bias"),
    "encoder.blocks.{i}.attention_norm.gamma": From(f"{_BLOCK}/attention/output/LayerNorm/gamma"),
    "encoder.blocks.{i}.attention_norm.beta": From(f"{_BLOCK}/attention/output/LayerNorm/beta"),
    "encoder.blocks.{i}.ffn_in.kernel": From(f"{_BLOCK}/intermediate/dense/kernel"),
    "encoder.blocks.{i}.ffn_in.bias": From(f"{_BLOCK}/intermediate/dense/bias"),
    "encoder.blocks.{i}.ffn_out.kernel": From(f"{_BLOCK}/output/dense/kernel"),
    "encoder.blocks.{i}.ffn_out.bias": From(f"{_BLOCK}/output/dense/bias"),
    "encoder.blocks.{i}.ffn_norm.gamma": From(f"{_BLOCK}/output/LayerNorm/gamma"),
    "encoder.blocks.{i}.ffn_norm.beta": From(f"{_BLOCK}/output/LayerNorm/beta"),
    "encoder.pooler.kernel": From("bert/pooler/dense/kernel"),
    "encoder.pooler.bias": From("bert/pooler/dense/bias"),
    "classifier.kernel": From("output_weights", np.transpose),
    "classifier.bias": From("output_bias"),
    "span.kernel": From("cls/squad/output_weights", np.transpose),
    "span.bias": From("cls/squad/output_bias"),
}


#: The head of masked language modelling, whose decoder is the word embedding.
MLM_TABLE = {
    "mlm.dense.kernel": From("cls/predictions/transform/dense/kernel"),
    "mlm.dense.bias": From("cls/predictions/transform/dense/bias"),
    "mlm.layer_norm.gamma": From("cls/predictions/transform/LayerNorm/gamma"),
    "mlm.layer_norm.beta": From("cls/predictions/transform/LayerNorm/beta"),
    "mlm.output_bias": From("cls/predictions/output_bias"),
}


def read(variables, config_file, table=TABLE):
    """Returns `(config, weights)` of a checkpoint.

    Args:
      variables: `Variables` of the checkpoint.
      config_file: Google's `bert_config.json`.
      table: `TABLE`, or with `MLM_TABLE` added to it where the head of pretraining is wanted.
    """
    config, *_ = config_keys.read(config_file)
    return translate(variables, table, config, IGNORED, optional=POOLER)
