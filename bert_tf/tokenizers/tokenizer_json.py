"""`tokenizer.json`, the one file in which Hugging Face's library keeps a whole tokenizer.

Of WordPieces only BERT's own are read here; anything else that a file sets is refused by name.
Other kinds are left to the library, see `bert_tf.tokenizers.library`.
"""

import dataclasses
from typing import Required, TypedDict

from flop_tf.files import json_file

#: Name of the file in a folder of Hugging Face.
FILE = "tokenizer.json"


class _Part(TypedDict, total=False):
    type: str


class _Normalizer(_Part, total=False):
    strip_accents: bool | None
    handle_chinese_chars: bool
    lowercase: bool


class _Model(_Part, total=False):
    vocab: Required[dict[str, json_file.Count]]


class AddedToken(TypedDict, total=False):
    """A token that is looked up whole, as Hugging Face writes it."""

    id: json_file.Count
    content: Required[str]
    normalized: bool
    special: bool
    single_word: bool
    lstrip: bool
    rstrip: bool


class _Whole(TypedDict, total=False):
    """What is read of a file of any kind."""

    added_tokens: list[AddedToken] | None
    padding: json_file.Object | None
    pre_tokenizer: json_file.Object | None
    post_processor: json_file.Object | None
    model: Required[json_file.Object]


class _File(TypedDict, total=False):
    added_tokens: list[AddedToken]
    normalizer: Required[_Normalizer]
    pre_tokenizer: Required[_Part]
    post_processor: _Part | None
    model: Required[_Model]


#: Values that BERT's own tokenizer has, by place; where one is left out, it is this.
_BERT = {
    "normalizer.type": ("BertNormalizer",),
    "normalizer.clean_text": (True,),
    "pre_tokenizer.type": ("BertPreTokenizer",),
    "post_processor.type": ("TemplateProcessing", "BertProcessing"),
    "model.type": ("WordPiece",),
    "model.unk_token": ("[UNK]",),
    "model.continuing_subword_prefix": ("##",),
    "model.max_input_chars_per_word": (100,),
}

_SINGLE = [("[CLS]", 0), ("A", 0), ("[SEP]", 0)]
_PAIR = [*_SINGLE, ("B", 1), ("[SEP]", 1)]


@dataclasses.dataclass(frozen=True)
class TokenizerJson:
    """What a `tokenizer.json` says.

    Args:
      vocab: the WordPieces by id, added tokens included.
      rules: arguments of `bert_tf.tokenizers.tokenization.Tokenizer` next to the vocabulary.
    """

    vocab: list
    rules: dict


def is_json(path):
    """Returns whether a vocabulary is a `tokenizer.json`, by the end of its name.

    Args:
      path: of the file.
    """
    return str(path).endswith(".json")


def read_whole(path):
    """Returns the JSON object of a `tokenizer.json` of any kind.

    Args:
      path: of the file.

    Raises:
      ValueError: if it is missing or damaged.
    """
    return json_file.read(path, _Whole, "tokenizer")


def is_of_words(path):
    """Returns whether a file is a `tokenizer.json` of WordPieces, as BERT's are.

    Args:
      path: of the file.
    """
    return read_whole(path)["model"].get("type", "WordPiece") == "WordPiece"


def read(path):
    """Reads a `tokenizer.json` of BERT's WordPieces.

    Args:
      path: of the file.

    Returns:
      `TokenizerJson`.

    Raises:
      ValueError: if it is damaged or of another tokenizer than BERT's.
    """
    data = json_file.read(path, _File, "tokenizer")
    subject = f"The tokenizer {str(path)!r}"
    for place, expected in _BERT.items():
        part, key = place.split(".")
        found = (data.get(part) or {}).get(key, expected[0])
        if found not in expected:
            raise ValueError(
                f"{subject} must have the {place} {' or '.join(map(repr, expected))} of BERT, the "
                f"one kind that can be read, received {found!r}."
            )
    _check_template(data.get("post_processor") or {}, subject)
    added = data.get("added_tokens", [])
    ids = {**data["model"]["vocab"], **{one["content"]: one["id"] for one in added}}
    normalizer = data["normalizer"]
    return TokenizerJson(
        in_order(ids, subject),
        {
            "do_lower_case": normalizer.get("lowercase", True),
            "strip_accents": normalizer.get("strip_accents"),
            "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
            **whole_tokens(added, subject),
        },
    )


def whole_tokens(added, subject):
    """Returns `special_tokens` and `added_tokens` of a `Tokenizer`.

    Args:
      added: list of `AddedToken`.
      subject: with which an error begins.

    Raises:
      ValueError: if a token takes spaces with it or must be a word of its own.
    """
    found = {"special_tokens": [], "added_tokens": []}
    for token in added:
        for key in ("single_word", "lstrip", "rstrip"):
            if token.get(key):
                raise ValueError(
                    f"{subject} must have no added token with {key}, which is not supported, "
                    f"received {token['content']!r}."
                )
        late = token.get("normalized", not token.get("special", False))
        found["added_tokens" if late else "special_tokens"].append(token["content"])
    return found


def in_order(ids, subject, first=0):
    """Returns tokens as a list by their ids.

    Args:
      ids: dict of ids by token.
      subject: with which an error begins.
      first: the lowest id.

    Raises:
      ValueError: if the ids are not consecutive.
    """
    tokens = sorted(ids, key=ids.get)
    for number, token in enumerate(tokens, start=first):
        if ids[token] != number:
            raise ValueError(
                f"{subject} must have the ids {first}, {first + 1}, ... once each, received "
                f"{ids[token]} of {token!r} in place of {number}."
            )
    return tokens


def _check_template(processor, subject):
    if processor.get("type") != "TemplateProcessing":
        return
    for key, expected in (("single", _SINGLE), ("pair", _PAIR)):
        found = [
            (part.get("id"), part.get("type_id"))
            for step in processor.get(key) or ()
            for part in step.values()
        ]
        if found != expected:
            raise ValueError(
                f"{subject} must put its special tokens as BERT does, {_text(expected)}, received "
                f"{_text(found)} in post_processor.{key}."
            )


def _text(parts):
    return " ".join(f"{name}:{segment}" for name, segment in parts)
