"""A BERT as it was found: config, weights, tokenizer and what is known of it, in one value."""

import dataclasses

from bert_tf.checkpoints import cases, tokenizer_files
from bert_tf.encoders.config import EncoderConfig
from bert_tf.heads.head import head_of, with_changes
from bert_tf.models import weight_paths
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import POOLER, expected_shapes, in_encoder
from bert_tf.tokenizers.library import LIBRARY_RULES, LibraryTokenizer
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf import surgery

_INHERITED = ("task", "labels", "data_dir", "max_seq_length", "family")


@dataclasses.dataclass(frozen=True)
class Source:
    """A BERT as it was found, in any format.

    Args:
      config: its `EncoderConfig`; `head` and `num_labels` describe the task head, if there is one.
      weights: float32 arrays by our weight paths, of the head only where there is one.
      vocab_file: path of its vocabulary, `vocab.txt` or a `tokenizer.json`, or None.
      do_lower_case: whether it was trained on lower-cased text, or None where nothing says so.
      format: name of its format, see `bert_tf.checkpoints.formats`; "live" of a live encoder.
      tokenizer_rules: other arguments of its tokenizer, a dict; what is left out is the default.
      labels: names of the classes in the order of the classifier's outputs, or None.
      missing_head: name of its head if this project lacks it, else "".
      info: `info.json` of a model directory, a dict: task, data, scores, ...; else its family.
    """

    config: EncoderConfig
    weights: dict
    vocab_file: str | None
    do_lower_case: bool | None
    format: str
    tokenizer_rules: dict = dataclasses.field(default_factory=dict)
    labels: tuple | None = None
    missing_head: str = ""
    info: dict = dataclasses.field(default_factory=dict)

    @property
    def inherited(self):
        """The facts of `info.json` that the next stage of the model inherits, a dict."""
        return {key: self.info[key] for key in _INHERITED if key in self.info}

    @property
    def has_head(self):
        """Whether the weights of the task head are there."""
        return head_of(self.config).weights.keys() <= self.weights.keys()

    def model(self, **changes):
        """Returns a new model with these weights.

        Args:
          **changes: other values of `EncoderConfig`. A task head of another kind or size, and
            a head, a pooler or gates that are not among the weights, start anew.
        """
        config = with_changes(self.config, **changes)
        model = BertModel(config)
        shapes = expected_shapes(config)
        kept = {
            path: array
            for path, array in self.weights.items()
            if in_encoder(path) or array.shape == shapes.get(path)
        }
        gates = filter(weight_paths.is_gate_variable, shapes)
        surgery.assign_weights(model, kept, new=[*model.head.weights, *POOLER, *gates])
        return model

    def tokenizer(self, do_lower_case=None):
        """Returns the tokenizer, see `bert_tf.tokenizers.tokenizer.TextTokenizer`.

        Args:
          do_lower_case: whether it is uncased; None takes what the files say, else the name of
            the vocabulary's folder and its words decide.

        Raises:
          ValueError: if there is no vocabulary, or not the one that the model was saved with.
        """
        if self.vocab_file is None:
            raise ValueError(
                "No vocabulary lies next to the checkpoint: neither vocab.txt nor tokenizer.json, "
                "which AutoTokenizer.save_pretrained of transformers writes; name one by "
                "--vocab_file."
            )
        tokenizer = self._tokenizer(do_lower_case)
        _check_vocabulary(tokenizer, self.info)
        return tokenizer

    def _tokenizer(self, do_lower_case):
        if tokenizer_files.is_whole(self.vocab_file):
            if do_lower_case is not None:
                raise ValueError(
                    "Argument `do_lower_case` must be left out, for the tokenizer "
                    f"{self.vocab_file!r} says its case itself, received {do_lower_case}."
                )
            return LibraryTokenizer(self.vocab_file, **self._rules(LIBRARY_RULES))
        if do_lower_case is None:
            do_lower_case = self.do_lower_case
        if do_lower_case is None:
            do_lower_case = cases.is_uncased(self.vocab_file)
        words = self.tokenizer_rules.keys() - set(LIBRARY_RULES)
        return Tokenizer(self.vocab_file, do_lower_case, **self._rules(words))

    def _rules(self, names):
        """Returns those of the tokenizer's rules that are of the kind of its vocabulary."""
        return {name: rule for name, rule in self.tokenizer_rules.items() if name in names}


def _check_vocabulary(tokenizer, info):
    """Raises ValueError where a tokenizer has other words than the model that `info.json` is of.

    Args:
      tokenizer: a `Tokenizer`.
      info: `info.json` of a model directory, a dict; old ones do not say the vocabulary.
    """
    if info.get("vocabulary", tokenizer.digest) != tokenizer.digest:
        raise ValueError(
            f"The vocabulary {tokenizer.vocab_file!r} must have the words that the model was saved "
            "with, received other ones; take the one that it was trained with."
        )
