"""What a format of checkpoints is, and the registry in which each one is found by its name."""

import abc
import dataclasses

from absl import logging

from bert_tf.checkpoints import tokenizer_files
from bert_tf.checkpoints.folder import find
from bert_tf.checkpoints.foreign_config import read_config
from bert_tf.checkpoints.source import Source
from bert_tf.checkpoints.translation import translate
from bert_tf.checkpoints.variables import Variables
from bert_tf.families.family import DEFAULT_FAMILY, FAMILIES
from bert_tf.heads.head import head_of
from flop_tf.registry import Registry

#: Formats by name.
FORMATS = Registry("checkpoint format", "bert_tf.checkpoints")

#: Decorator of a format's class: `@register_format("google_tf1")`.
register_format = FORMATS.register


@dataclasses.dataclass(frozen=True)
class Files:
    """Where the parts of a checkpoint are.

    Args:
      variables: its `Variables`.
      folder: path of the folder that they lie in.
      config_file: path of the config, or None for the one in the folder.
      vocab_file: path of the vocabulary, or None for the one in the folder.
      pretraining_head: whether the head of masked language modelling is read too, if there is one.
    """

    variables: Variables
    folder: str
    config_file: str | None = None
    vocab_file: str | None = None
    pretraining_head: bool = False


def format_of(variables):
    """Returns the `Format` of some `Variables`; formats that take everything come last.

    Args:
      variables: a `Variables`.
    """
    kinds = sorted(FORMATS, key=lambda name: FORMATS[name].is_general)
    return next(kind for kind in map(FORMATS.__getitem__, kinds) if kind.recognises(variables))()


class Format(abc.ABC):
    """How files become a `Source`.

    Attributes:
      config_file: name of the config in a folder.
      is_general: whether `recognises` takes everything that no other format does.
    """

    config_file = ""
    is_general = False

    @staticmethod
    @abc.abstractmethod
    def recognises(variables):
        """Returns whether `Variables` are of this format.

        Args:
          variables: a `Variables`.
        """

    @abc.abstractmethod
    def read(self, files):
        """Returns the `Source` in some `Files`.

        Args:
          files: a `Files`.

        Raises:
          ValueError: if a file is missing or damaged, or they do not fit each other.
        """

    def find_config(self, files, required=True):
        """Returns the path of the config of some `Files`, None where it may lack.

        Args:
          files: a `Files`.
          required: whether it must be there. Defaults to True.

        Raises:
          ValueError: if it is required and not there.
        """
        path = files.config_file or find(files.folder, self.config_file, "BERT config")
        if path is None and required:
            raise ValueError(
                f"{files.variables.origin} needs a BERT config: expected {self.config_file!r} in "
                f"{files.folder!r}, found none; name the file by `config_file`."
            )
        return path


class ForeignFormat(Format):
    """A format of other programs: the names of each family's weights, and a tokenizer.

    Attributes:
      special_tokens: whether special tokens in a text are looked up, as Hugging Face does.
      needs_config: whether there must be a config.
    """

    special_tokens = False
    needs_config = True

    @property
    def name(self):
        """The name under which the class is registered."""
        return FORMATS.name_of(type(self))

    def read(self, files):
        """Returns the `Source` in some `Files`."""
        path = self.find_config(files, self.needs_config)
        about = None if path is None else read_config(path)
        config, weights = self.weights(files.variables, about, files.pretraining_head)
        vocab_file, rules = tokenizer_files.read(
            files.folder,
            files.vocab_file,
            about and about.data.get("tokenizer_class"),
            special_tokens=self.special_tokens,
        )
        do_lower_case = rules.pop("do_lower_case", None)
        info = {"family": (about and about.data.get("model_type")) or DEFAULT_FAMILY}
        source = Source(config, weights, vocab_file, do_lower_case, self.name, rules, info=info)
        if missing := self.missing_head(files.variables, about):
            logging.info(
                "%s has the head of %s, which is left out.", files.variables.origin, missing
            )
            return dataclasses.replace(source, missing_head=missing)
        if about is None or head_of(config).num_outputs or not source.has_head:
            return source
        return dataclasses.replace(source, labels=about.labels_of(config.num_labels))

    def names(self, about):
        """Returns the `Names` of a family in this format.

        Args:
          about: the `ForeignConfig`, or None where there is none.

        Raises:
          ValueError: if the family has none.
        """
        known = FAMILIES[DEFAULT_FAMILY] if about is None else about.family
        if self.name not in known.names:
            raise ValueError(
                f"Models of the family {FAMILIES.name_of(known)!r} must be in one of the formats "
                f"{list(known.names)}, received one in {self.name!r}."
            )
        return known.names[self.name]

    def weights(self, variables, about, pretraining_head=False):
        """Returns `(config, weights)`.

        Args:
          variables: `Variables`.
          about: the `ForeignConfig`, or None where there is none.
          pretraining_head: see `Files`.

        Raises:
          ValueError: if the variables do not fit the config.
        """
        names = self.names(about)
        table = names.table if pretraining_head else names.of_task_heads()
        return translate(variables, table, about.config, names.ignored, names.optional)

    def missing_head(self, variables, about):
        """Returns the name of the head if this project lacks it, else "".

        Args:
          variables: a `Variables`.
          about: the `ForeignConfig`, or None where there is none.
        """
        return ""
