"""What a family of encoders is, and the registry in which each one is found by its model type."""

from bert_tf.encoders.config import THEIR_ACTIVATIONS, EncoderConfig
from bert_tf.families.config_keys import check_keys
from flop_tf.registry import Registry

#: Classes of families by the `model_type` of their configs.
FAMILIES = Registry("model type", "bert_tf.families")

#: The family of what does not say it: formats of Google, and model directories of old versions.
DEFAULT_FAMILY = "bert"

#: Decorator of a family's class: `@register_family("bert")`.
register_family = FAMILIES.register

#: The keys that are read of every family.
_HEARD = frozenset(
    "architectures id2label label2id model_type problem_type tokenizer_class".split()
)

# Of a head, which other keys describe there.
_OF_HEADS = {"head", "num_labels"}
# A part of the names of classes whose head another class has alone.
_PRETRAINING = "ForPreTraining"


class Family:
    """Names and config of the models of one family; what they compute is in their `EncoderConfig`.

    A family that differs little derives from another one.
    """

    #: `bert_tf.families.names.Names` by the name of a checkpoint format.
    names = {}
    #: The layer of our head by the class of `transformers`, None for one without a head of ours.
    architectures = {}
    #: Keys of a config that `fields` reads.
    known = frozenset()
    #: Values by key that describe what this project computes anyway; others would give other
    #: numbers.
    only = {}
    #: Keys that change nothing.
    harmless = frozenset()

    @classmethod
    def config(cls, data, path):
        """Returns the `EncoderConfig` of a foreign config.

        Args:
          data: the JSON object.
          path: of its file, for errors.

        Raises:
          ValueError: if a key is not known, or a value is not supported.
        """
        subject = f"The BERT config {str(path)!r}"
        check_keys(data, subject, cls.known | _HEARD, cls.only_of(data), cls.harmless)
        try:
            return EncoderConfig.from_dict(cls.fields(data))
        except ValueError as error:
            raise ValueError(f"{subject} cannot be used: {error}") from error

    @classmethod
    def only_of(cls, data):
        """Returns `only`, with what depends on other keys of a config.

        Args:
          data: the JSON object of a config.
        """
        return cls.only

    @classmethod
    def fields(cls, data):
        """Returns the fields of the `EncoderConfig`, from the keys of a foreign config.

        Args:
          data: the JSON object of a config.
        """
        return {key: data[key] for key in cls.known & data.keys()}

    @classmethod
    def foreign(cls, config):
        """Returns the keys of a foreign config of `transformers`, the inverse of `fields`.

        Args:
          config: an `EncoderConfig` whose blocks are of one size.
        """
        data = {**config.to_dict(), "hidden_act": THEIR_ACTIVATIONS[config.hidden_act]}
        return {key: data[key] for key in sorted((cls.known & data.keys()) - _OF_HEADS)}

    @classmethod
    def architecture(cls, model_type, layer):
        """Returns the class of `transformers` of a model.

        Args:
          model_type: under which the family is registered.
          layer: of our head, its `layer_path`; None without.

        Raises:
          ValueError: if there is no such class.
        """
        start = model_type.replace("-", "")
        found = [
            name
            for name, one in cls.architectures.items()
            if one == layer and name.lower().startswith(start) and _PRETRAINING not in name
        ]
        if not found:
            raise ValueError(
                f"A model of the family {model_type!r} with the head {layer!r} has no class of "
                "transformers that this project knows."
            )
        return found[0]
