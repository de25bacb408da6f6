"""Questions of SQuAD on the tokens of any tokenizer, by the characters that each token stands for.

tf-models' `squad_lib` knows WordPieces of words between blanks alone. Here each token of a text is
a word to it, such as `17x2003`, token 17 of the paragraph with the id 2003: so windows and answers
are its own. An answer of such words is spelled by the characters from its first to its last one.
"""

import functools

import numpy as np
from official.nlp.data import squad_lib

# How `squad_lib` writes the token between texts.
_SEPARATOR = "[SEP]"


def questions(examples, tokenizer):
    """Returns the questions of `squad_lib`, in words as above.

    Args:
      examples: `SquadExamples`; the first answer of each question is placed.
      tokenizer: a `bert_tf.tokenizers.library.LibraryTokenizer`.

    Returns:
      `(questions, placed, texts)`: a list of `SquadExample`; ids of those whose answer is in
      tokens, or that have none as in SQuAD 2.0; and `(context, offsets)` by the question's id.
    """
    pairs = list(examples.questions())
    contexts = list(dict.fromkeys(context for context, _ in pairs))
    found = dict(zip(contexts, tokenizer.with_offsets(contexts), strict=True))
    asked = tokenizer.tokenize([question["question"] for _, question in pairs]).to_list()
    made, placed, texts = [], set(), {}
    for (context, question), ids in zip(pairs, asked, strict=True):
        tokens, offsets = found[context]
        words, name = _words(tuple(tokens)), question["id"]
        first = last = -1
        if question["answers"]:
            first, last = _place(question["answers"][0], context, offsets)
        if first >= 0 or question.get("is_impossible"):
            placed.add(name)
        texts[name] = context, offsets
        example = squad_lib.SquadExample(
            qas_id=name,
            question_text=" ".join(f"qx{number}" for number in ids),
            doc_tokens=words,
            orig_answer_text=" ".join(words[first : last + 1] if first >= 0 else ()),
            start_position=first,
            end_position=last,
            is_impossible=first < 0,
        )
        made.append(example)
    return made, placed, texts


class Words:
    """The tokenizer of `squad_lib` for words as above.

    Args:
      tokenizer: a `bert_tf.tokenizers.tokenizer.TextTokenizer`.
    """

    tokenize = staticmethod(str.split)

    def __init__(self, tokenizer):
        self._template = tokenizer.template[1]

    def convert_tokens_to_ids(self, tokens):
        """Returns ids, 0 of special tokens."""
        return [int(token.rpartition("x")[2]) if "x" in token else 0 for token in tokens]

    def frame(self, feature):
        """Puts the special tokens of the tokenizer in place of `squad_lib`'s.

        Args:
          feature: `InputFeatures`, changed in place.
        """
        end, middle = len(feature.tokens) - 1, feature.tokens.index(_SEPARATOR)
        texts = iter((slice(1, middle), slice(middle + 1, end)))
        tokens, ids, segments, start = [], [], [], 0
        for special, segment in self._template:
            if special is None:
                part, start = next(texts), len(ids)
                tokens += feature.tokens[part]
                ids += feature.input_ids[part]
            else:
                tokens += [_SEPARATOR] * len(special)
                ids += special
            segments += [segment] * (len(ids) - len(segments))
        shift = start - (middle + 1)
        feature.tokens, feature.input_ids, feature.segment_ids = tokens, ids, segments
        for name in ("token_to_orig_map", "token_is_max_context"):
            moved = {place + shift: value for place, value in getattr(feature, name).items()}
            setattr(feature, name, moved)
        if feature.end_position:
            feature.start_position += shift
            feature.end_position += shift


def spelled(words, context, offsets):
    """Returns the text of an answer.

    Args:
      words: of the answer, a text; one that has no such words stays as it is.
      context: the paragraph.
      offsets: list of `(start, end)` of its tokens, in characters.
    """
    if "x" not in words:
        return words
    first, *_ = numbers = [int(word.partition("x")[0]) for word in words.split()]
    return context[offsets[first][0] : offsets[numbers[-1]][1]]


@functools.lru_cache(maxsize=64)
def _words(ids):
    return [f"{place}x{number}" for place, number in enumerate(ids)]


def _place(answer, context, offsets):
    """Returns the first and the last token with characters of an answer, or -1 twice."""
    text = answer["text"].strip()
    start = answer["answer_start"] + answer["text"].index(text)
    if context[start : start + len(text)] != text:
        return -1, -1
    starts, ends = np.array(offsets, np.int64).reshape(-1, 2).T
    inside = np.flatnonzero((ends > start) & (starts < start + len(text)) & (ends > starts))
    return (int(inside[0]), int(inside[-1])) if len(inside) else (-1, -1)
