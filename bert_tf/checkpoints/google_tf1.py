"""Google's TF1 checkpoints: pretrained, or fine-tuned by `run_classifier.py` or `run_squad.py`."""

from bert_tf.checkpoints.formats import ForeignFormat, register_format
from bert_tf.checkpoints.tf_models import OBJECT_GRAPH


@register_format("google_tf1")
class GoogleTF1(ForeignFormat):
    """A TensorFlow checkpoint of names, and `bert_config.json`."""

    config_file = "bert_config.json"

    @staticmethod
    def recognises(variables):
        """Returns whether they are of a checkpoint without a graph of objects."""
        return variables.is_checkpoint and OBJECT_GRAPH not in variables.shapes
