"""Our own model directories, at any stage: dense, factorized, gated or compact."""

from bert_tf.checkpoints.translation import From, translate
from bert_tf.model.config import BertConfig
from bert_tf.model.weight_paths import expected_shapes

FORMAT = "model_dir"
CONFIG_FILE = "bert_config.json"


def read(variables, config_file):
    """Returns `(config, weights)` of a directory.

    Args:
      variables: `Variables` of its safetensors, whose names are our paths.
      config_file: its `bert_config.json`.
    """
    config = BertConfig.from_json_file(config_file)
    return translate(variables, {path: From(path) for path in expected_shapes(config)}, config)
