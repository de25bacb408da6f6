"""What a family of encoders is, and the registry in which each one is found by its model type."""

from bert_tf.encoders.config import EncoderConfig
from bert_tf.families.config_keys import check_keys
from flop_tf.registry import Registry

#: Classes of families by the `model_type` of their configs.
FAMILIES = Registry("model type", "bert_tf.families")

#: Decorator of a family's class: `@register_family("bert")`.
register_family = FAMILIES.register

#: The keys that are read of every family.
_HEARD = frozenset(
    "architectures id2label label2id model_type problem_type tokenizer_class".split()
)


class Family:
    """Names and config of the models of one family; what they compute is in their `EncoderConfig`.

    A family that differs little derives from another one.
    """

    #: `bert_tf.families.names.Names` by the name of a checkpoint format.
    names = {}
    #: Our head by the class of `transformers`, None for one without a head of ours.
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
