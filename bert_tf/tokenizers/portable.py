"""A tokenizer as a `tokenizer.json`, so that `tokenizers` gives the same ids without TensorFlow.

The BERT parts of that library decide by other Unicode tables than TensorFlow, so the file spells
the rules out, with classes of characters that are read off our tokenizer. What is left are letters
so young that one of the two does not know their lower case.
"""

import functools
import tempfile

import numpy as np
import tensorflow as tf

# Every character but surrogates, unassigned planes and, as they are all of one kind, the two planes
# of private use.
_CHARACTERS = (*range(0xD800), *range(0xE000, 0x34000), *range(0xE0000, 0xE1000))
_PRIVATE_PLANES = r"\x{F0000}-\x{FFFFD}\x{100000}-\x{10FFFD}"

# A sigma at the end of a word has another lower case; the match begins at `\K`.
_FINAL_SIGMA = r"\p{Cased}\p{Case_Ignorable}*\KΣ(?!\p{Case_Ignorable}*\p{Cased})"


def tokenizer_json(tokenizer):
    """Returns the content of the `tokenizer.json` of a tokenizer, plain data.

    It does not truncate: of two long texts the library cuts others than Google's code.

    Args:
      tokenizer: a `bert_tf.tokenizers.tokenization.Tokenizer`.
    """
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(tokenizer),
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(tokenizer)},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _splits(tokenizer)},
        "post_processor": _template(tokenizer),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": tokenizer.max_chars_per_word,
            "vocab": {token: index for index, token in enumerate(tokenizer.vocab)},
        },
    }


def added_tokens(tokenizer):
    """Returns the tokens that a text may contain, each as the library describes it.

    Args:
      tokenizer: see `tokenizer_json`.
    """
    tokens = [(token, True) for token in tokenizer.special_tokens]
    tokens += [(token, False) for token in tokenizer.added_tokens]
    return [
        {
            "id": tokenizer.vocab.index(token),
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": not special,
            "special": special,
        }
        for token, special in tokens
    ]


def _normalizers(tokenizer):
    """Returns the steps of `Tokenizer`'s normalization."""
    classes = _classes(tokenizer)
    steps = [_replace(f"[{classes['removed']}]", "")]
    if tokenizer.do_lower_case:
        if not tokenizer.special_tokens:
            steps.append(_replace(_FINAL_SIGMA, "ς"))
        steps.append({"type": "Lowercase"})
    strip = tokenizer.strip_accents
    if tokenizer.do_lower_case if strip is None else strip:
        steps += [{"type": "NFD"}, _replace(f"[{classes['marks']}]", "")]
    return steps


def _splits(tokenizer):
    """Returns the steps from a normalized text to words."""
    classes = _classes(tokenizer)
    behaviors = {"spaces": "Removed", "words": "Isolated"}
    return [
        {
            "type": "Split",
            "pattern": {"Regex": f"[{classes[name]}]"},
            "behavior": behavior,
            "invert": False,
        }
        for name, behavior in behaviors.items()
    ]


def _replace(pattern, content):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _template(tokenizer):
    """Returns where `[CLS]` and `[SEP]` go."""

    def special(token, segment):
        return {"SpecialToken": {"id": token, "type_id": segment}}

    def text(name, segment):
        return {"Sequence": {"id": name, "type_id": segment}}

    single = [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)]
    ids = {"[CLS]": tokenizer.cls_id, "[SEP]": tokenizer.sep_id}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, text("B", 1), special("[SEP]", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [index], "tokens": [token]} for token, index in ids.items()
        },
    }


def _classes(tokenizer):
    """Returns the characters that a tokenizer treats alike, ranges of a regular expression by name.

    `removed`, `spaces`, `words` that are one character, and `marks`, which accents become.
    """
    looks_up = bool(tokenizer.special_tokens or tokenizer.added_tokens)
    return _read_classes(type(tokenizer), tokenizer.tokenize_chinese_chars, looks_up)


@functools.cache
def _read_classes(kind, tokenize_chinese_chars, looks_up):
    vocab = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "ab"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{token}\n" for token in vocab))
        file.flush()
        probe = kind(
            file.name,
            do_lower_case=False,
            tokenize_chinese_chars=tokenize_chinese_chars,
            special_tokens=["[SEP]"] if looks_up else (),
        )
    texts = [f"a{chr(code)}b" for code in _CHARACTERS]
    # What becomes of its neighbours says what a character is; a letter makes one word of all.
    kinds = {"removed": ["ab"], "spaces": ["a", "b"], "words": ["a", "[UNK]", "b"]}
    tokens = probe.tokenize(texts).to_tensor(-1, [None, 3]).numpy()
    found = {}
    for name, kind in kinds.items():
        ids = [*map(vocab.index, kind), -1, -1][:3]
        found[name] = _ranges(np.all(tokens == ids, axis=1))
    if looks_up:
        found["removed"] += _PRIVATE_PLANES
    found["marks"] = _ranges(tf.strings.regex_full_match(list(map(chr, _CHARACTERS)), r"\p{Mn}"))
    return found


def _ranges(members):
    """Returns the ranges of a regular expression for the members of `_CHARACTERS`."""
    codes = np.array(_CHARACTERS)[np.asarray(members)]
    parts = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "".join(rf"\x{{{part[0]:X}}}-\x{{{part[-1]:X}}}" for part in parts)
