"""Whether a vocabulary is of lower-cased texts, where no file says so."""

import os

from absl import logging

from bert_tf.tokenizers.tokenization import read_vocab


def is_uncased(vocab_file):
    """Returns whether a vocabulary is uncased, by the name of its folder, else by its words.

    Args:
      vocab_file: path of the vocabulary.
    """
    folder = os.path.basename(os.path.dirname(os.path.abspath(vocab_file))).lower()
    words = (word for word in read_vocab(vocab_file) if not word.startswith("["))
    capital = next((word for word in words if word != word.lower()), None)
    if "cased" in folder:
        uncased, reason = "uncased" in folder, f"the name of its folder, {folder!r}"
    else:
        uncased = capital is None
        reason = "having no capital letter" if uncased else f"the entry {capital!r}"
    logging.info(
        "The vocabulary %s is taken for %s by %s; --do_lower_case says it otherwise.",
        vocab_file,
        "uncased" if uncased else "cased",
        reason,
    )
    return uncased
