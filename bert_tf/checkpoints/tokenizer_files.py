"""What a foreign folder says of its tokenizer: vocabulary, case, accents, added tokens.

| file | holds |
|---|---|
| `vocab.txt` | a WordPiece a line |
| `tokenizer.json` | the whole tokenizer, of any kind; where it is there its vocabulary counts |
| `tokenizer_config.json`, `special_tokens_map.json` | settings |
| `added_tokens.json` | ids of tokens that `vocab.txt` lacks |
"""

import re
from typing import TypedDict

from bert_tf.checkpoints import folder
from bert_tf.families import config_keys
from bert_tf.tokenizers import tokenizer_json
from bert_tf.tokenizers.library import LIBRARY_RULES, LibraryTokenizer
from bert_tf.tokenizers.tokenization import VOCAB_FILE
from flop_tf.files import json_file
from flop_tf.files.text_files import read_lines

CONFIG_FILE = "tokenizer_config.json"

# Of sentence-transformers, which may lower texts before the tokenizer sees them.
_SENTENCES_FILE = "sentence_bert_config.json"

_SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
_TEXTS = {"true": True, "false": False, "none": None}

#: What a text of a BERT may hold as it is, for Hugging Face.
_SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}

#: Classes of `transformers` that tokenize as BERT does; the rest say so in a file.
_CLASSES = tuple(
    f"{name}Tokenizer{fast}" for name in ("Bert", "DistilBert", "Electra") for fast in ("", "Fast")
)
_CLASSES_OF_FILE = ("PreTrainedTokenizerFast", "TokenizersBackend")


class _Settings(TypedDict, total=False):
    pad_token: str | dict | None
    mask_token: str | dict | None
    additional_special_tokens: list[str | dict] | None
    extra_special_tokens: list[str | dict] | dict[str, str | dict] | None
    added_tokens_decoder: dict[str, tokenizer_json.AddedToken] | None


_READ = {*_SWITCHES, *_Settings.__annotations__}
_ONLY = {
    "auto_map": (None, {}),
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "split_special_tokens": (False, None),
    "truncation_side": ("right", None),
    "wordpieces_prefix": ("##", None),
}
_HARMLESS = set(
    """
    backend bos_token clean_up_tokenization_spaces eos_token errors full_tokenizer_file init_inputs
    is_local local_files_only max_len max_length model_input_names model_max_length name_or_path
    pad_to_multiple_of pad_token_type_id padding padding_side processor_class return_tensors
    return_token_type_ids special_tokens_map_file stride tokenizer_file truncation
    truncation_strategy trust_remote_code use_fast verbose vocab_file
    """.split()
)


# Of tokenizers that the library reads as a whole.
_READ_OF_LIBRARY = {
    *("add_prefix_space", "tokenizer_class"),
    *("cls_token", "sep_token", "unk_token", "trim_offsets", "sp_model_kwargs"),
    *_Settings.__annotations__,
}
_ONLY_OF_LIBRARY = {
    "auto_map": (None, {}),
    "do_lower_case": (False, None),
    "split_special_tokens": (False, None),
    "truncation_side": ("right", None),
}


def read(place, vocab_file=None, tokenizer_class=None, special_tokens=True):
    """Reads what a folder says of its tokenizer.

    Args:
      place: path of the folder.
      vocab_file: the vocabulary to take, None for the one in the folder.
      tokenizer_class: the one that the model's config names, or None.
      special_tokens: whether special tokens in a text are looked up, as Hugging Face does.

    Returns:
      `(path of the vocabulary or None, rules)`, the rules arguments of
      `bert_tf.tokenizers.tokenization.Tokenizer`; nothing is in them that no file says.

    Raises:
      ValueError: if a file is damaged, files contradict each other, or one names WordPieces that
        are not BERT's.
    """
    subject = f"The tokenizer config in {str(place)!r}"
    whole = folder.find(place, tokenizer_json.FILE, "tokenizer")
    used = vocab_file or whole
    if used and is_whole(used):
        return _of_library(place, used, subject)
    if whole and is_whole(whole):
        return vocab_file, {}  # What the folder says is of another tokenizer.
    if not used and folder.find(place, VOCAB_FILE, "vocabulary") is None:
        return None, {}
    settings = _all_settings(place, subject, tokenizer_class, whole is not None)
    rules = _switches(settings, subject)
    own = not vocab_file
    if own:
        vocab_file = folder.find(place, VOCAB_FILE, "vocabulary")
    if whole:
        found = tokenizer_json.read(whole)
        _check_same(rules, found, vocab_file if own else None, subject, whole)
        rules = {key: found.rules[key] for key in _SWITCHES}
    if whole and own:
        rules, vocab_file = found.rules, whole
    elif vocab_file:
        rules |= _whole_tokens(_added(place, settings) if own else [], _lines(vocab_file), subject)
    _check_lowered_before(place, rules)
    if not special_tokens:
        rules = {key: value for key, value in rules.items() if key in _SWITCHES}
    return vocab_file, rules


def find_vocabulary(place):
    """Returns the path of the vocabulary of a model directory, of either kind, or None.

    Args:
      place: path of the directory.
    """
    words = folder.find(place, VOCAB_FILE, "vocabulary")
    return words or folder.find(place, tokenizer_json.FILE, "tokenizer")


def is_whole(vocab_file):
    """Returns whether a vocabulary is a whole tokenizer that the library reads.

    Args:
      vocab_file: path of a `vocab.txt` or `tokenizer.json`.
    """
    return tokenizer_json.is_json(vocab_file) and not tokenizer_json.is_of_words(vocab_file)


def count(vocab_file):
    """Returns the number of tokens of a vocabulary, of either kind.

    Args:
      vocab_file: path of a `vocab.txt` or `tokenizer.json`.
    """
    return len(_lines(vocab_file))


def _lines(vocab_file):
    if is_whole(vocab_file):
        return LibraryTokenizer(vocab_file).vocab
    if tokenizer_json.is_json(vocab_file):
        return tokenizer_json.read(vocab_file).vocab
    return [line.strip(" \t") for line in read_lines(vocab_file, "vocabulary")]


def _of_library(place, vocab_file, subject):
    """Returns the path and the rules of a tokenizer that the library reads."""
    settings = _settings(place, "special_tokens_map.json") | _settings(place, CONFIG_FILE)
    config_keys.check_keys(settings, subject, _READ_OF_LIBRARY, _ONLY_OF_LIBRARY, _HARMLESS)
    _check_lowered_before(place, {})
    data = tokenizer_json.read_whole(vocab_file)
    first = (data.get("pre_tokenizer") or {}).get("add_prefix_space")
    if first is not None and settings.get("add_prefix_space", first) != first:
        raise ValueError(
            f"{subject} must agree with {vocab_file!r}, received add_prefix_space "
            f"{settings['add_prefix_space']!r} and {first!r}; correct the one that is wrong."
        )
    known = {one["content"] for one in data.get("added_tokens") or ()}
    for token in (one["content"] for one in _added(place, settings)):
        if token not in known:
            raise ValueError(
                f"{subject} must name added tokens of {vocab_file!r}, received {token!r}; save the "
                "tokenizer again with the program that added it."
            )
    names = {key: _content(settings[key]) for key in LIBRARY_RULES if key in settings}
    return vocab_file, {key: token for key, token in names.items() if token is not None}


def _settings(place, name):
    path = folder.find(place, name, "tokenizer config")
    return {} if path is None else json_file.read(path, _Settings, "tokenizer config")


def _all_settings(place, subject, tokenizer_class, has_whole):
    """Returns the settings of a folder after a look at each of their keys."""
    settings = _settings(place, "special_tokens_map.json") | _settings(place, CONFIG_FILE)
    settings |= {key: _content(settings[key]) for key in _SPECIAL if key in settings}
    settings.setdefault("tokenizer_class", tokenizer_class)
    only = {key: (token, None) for key, token in _SPECIAL.items()}
    only["tokenizer_class"] = (*_CLASSES, *(_CLASSES_OF_FILE if has_whole else ()), None)
    config_keys.check_keys(settings, subject, _READ, _ONLY | only, _HARMLESS)
    return settings


def _check_lowered_before(place, rules):
    """Raises ValueError where texts are lower-cased before a tokenizer that is cased."""
    if _settings(place, _SENTENCES_FILE).get("do_lower_case") and not rules.get("do_lower_case"):
        raise ValueError(
            f"The file {_SENTENCES_FILE!r} in {str(place)!r} must have do_lower_case false with a "
            "cased tokenizer, all that is supported, received true."
        )


def _switches(settings, subject):
    """Returns the settings that are true, false or None; "False" of old files is False."""
    found = {}
    for key in filter(settings.__contains__, _SWITCHES):
        value = settings[key]
        value = _TEXTS.get(value.lower(), value) if isinstance(value, str) else value
        if not isinstance(value, bool | None):
            raise ValueError(f"{subject} must have {key} true or false, received {value!r}.")
        if value is not None or key == "strip_accents":
            found[key] = value
    return found


def _check_same(rules, found, vocab_file, subject, whole):
    """Raises ValueError where the files of a folder describe two tokenizers."""
    for key, value in rules.items():
        if value is not None and value != _effective(found.rules, key):
            raise ValueError(
                f"{subject} must agree with {whole!r}, received {key} {value!r} and "
                f"{_effective(found.rules, key)!r}; correct the one that is wrong."
            )
    if vocab_file is not None:
        lines = _lines(vocab_file)
        if lines != found.vocab[: len(lines)]:
            raise ValueError(
                f"The vocabulary {vocab_file!r} must have the tokens of {whole!r}, received other "
                "ones; remove the file that is wrong."
            )


def _effective(rules, key):
    if key == "strip_accents" and rules[key] is None:
        return rules["do_lower_case"]
    return rules[key]


def _added(place, settings):
    """Returns the `AddedToken`s that a folder without `tokenizer.json` lists."""
    special = [
        _content(token)
        for key in ("additional_special_tokens", "extra_special_tokens")
        for token in _values(settings.get(key) or ())
    ]
    added = [{"content": token, "special": True} for token in special]
    decoder = settings.get("added_tokens_decoder")
    if decoder:
        if bad := [number for number in decoder if not re.fullmatch("[0-9]{1,9}", number)]:
            raise ValueError(
                f"The tokenizer config in {str(place)!r} must have ids as the keys of "
                f"added_tokens_decoder, received {bad[0]!r}."
            )
        return [*({**one, "id": int(number)} for number, one in decoder.items()), *added]
    path = folder.find(place, "added_tokens.json", "list of added tokens")
    if path is None:
        return added
    listed = json_file.read(path, dict[str, json_file.Count], "list of added tokens")
    return [{"content": t, "id": i, "special": t in special} for t, i in listed.items()] + added


def _whole_tokens(added, vocab, subject):
    """Returns the rules of tokens that are looked up whole: BERT's own, and added ones."""
    first = {one["content"]: one for one in reversed(added)}
    own = [token for token in _SPECIAL.values() if token in vocab and token not in first]
    tokens = [*({"content": token, "special": True} for token in own), *first.values()]
    extra = {}
    for token, number in ((one["content"], one["id"]) for one in tokens if "id" in one):
        if number >= len(vocab):
            extra[token] = number
        elif vocab[number] != token:
            raise ValueError(
                f"{subject} must have the ids of the vocabulary, received {number} for {token!r}, "
                f"which is {vocab[number]!r} there."
            )
    extra = tokenizer_json.in_order(extra, subject, len(vocab))
    return {**tokenizer_json.whole_tokens(tokens, subject), "extra_words": extra}


def _values(tokens):
    return tokens.values() if isinstance(tokens, dict) else tokens


def _content(token):
    return token.get("content") if isinstance(token, dict) else token
