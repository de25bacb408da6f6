"""Google's TF1 checkpoints: pretrained, or fine-tuned by `run_classifier.py` or `run_squad.py`."""

from bert_tf.checkpoints.formats import ForeignFormat, register_format


@register_format("google_tf1")
class GoogleTF1(ForeignFormat):
    """A TensorFlow checkpoint of names, and `bert_config.json`."""

    config_file = "bert_config.json"
    is_general = True

    @staticmethod
    def recognises(variables):
        """Returns whether they are of a TensorFlow checkpoint."""
        return variables.is_checkpoint
