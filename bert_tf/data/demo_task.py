"""A sentiment task that the project writes itself, in the layout of GLUE's SST-2.

Each sentence is built from its label downwards: a sentence pattern (plain,
contrast, reported opinion, unmet expectation, mixed aspects, ...) says which
of its clauses decides; a clause says its opinion plainly, negated, doubly
negated or by what the writer did; the word follows from both. The label is
therefore always right. As in reviews, most sentences say plainly what they
mean; in the others single words say little about the label. A part of the
opinion words is kept out of the training split. The words are in `demo_words.json`.
"""

import json
import os
import pathlib
import random
import re

from bert_tf import ranges
from flop_tf import files

#: Sentences of a split: far fewer than there are, so that new ones are found at once.
SIZE = ranges.Range(at_least=1, at_most=100_000)

# Words by the place that they take in a clause or a pattern. In clauses `{same}` is a word of the
# opinion and `{other}` of the opposite, in patterns `{yes}` says the label and `{no}` the opposite.
_WORDS = json.loads(pathlib.Path(__file__).with_name("demo_words.json").read_text("utf-8"))

ADJECTIVES, _DEEDS = (
    {True: _WORDS[name]["positive"], False: _WORDS[name]["negative"]}
    for name in ("adjectives", "deeds")
)

# Share of sentences from all patterns and clauses; the others are plain.
_MIXED = 0.4


def generate(num_train=1600, num_dev=600, num_test=600, seed=0):
    """Writes distinct sentences; no sentence is in two splits.

    Args:
      num_train: int, sentences of the training split.
      num_dev: int, of the development split.
      num_test: int, of the test split.
      seed: int, the same seed gives the same sentences.

    Returns:
      A dict of the splits "train", "dev" and "test", each a list of
      `(sentence, label)` with label 1 for a positive opinion, else 0.

    Raises:
      ValueError: if a number of sentences is not in `SIZE`.
    """
    sizes = {"train": num_train, "dev": num_dev, "test": num_test}
    for name, size in sizes.items():
        ranges.check(f"Argument `num_{name}`", size, int, SIZE)
    rng = random.Random(seed)
    seen = set()
    splits = {}
    for name, size in sizes.items():
        words = _known(ADJECTIVES) if name == "train" else ADJECTIVES
        splits[name] = rows = []
        while len(rows) < size:
            label = rng.random() < 0.5
            sentence = _sentence(rng, label, words)
            if sentence not in seen:
                seen.add(sentence)
                rows.append((sentence, int(label)))
    return splits


def write(output_dir, splits):
    """Writes train.tsv, dev.tsv and test.tsv.

    Args:
      output_dir: str, a folder, which is made where it is missing.
      splits: dict that `generate` returned.
    """
    for name, text in _contents(splits).items():
        files.write_text(os.path.join(output_dir, name), text)


def holds(folder, splits):
    """Returns whether a folder holds the files that `write` would write.

    Args:
      folder: its path.
      splits: see `write`.
    """
    paths = {pathlib.Path(folder, name): text for name, text in _contents(splits).items()}
    return all(
        path.is_file() and path.read_bytes() == text.encode() for path, text in paths.items()
    )


def _contents(splits):
    return {f"{name}.tsv": _tsv(name, rows) for name, rows in splits.items()}


def _known(words):
    """Returns the words that training may see: three of four."""
    return {label: [w for i, w in enumerate(all_) if i % 4 != 3] for label, all_ in words.items()}


def _sentence(rng, label, adjectives):
    mixed = rng.random() < _MIXED
    clauses, patterns = (
        _WORDS[f"plain_{kind}"] + (_WORDS[f"other_{kind}"] if mixed else [])
        for kind in ("clauses", "patterns")
    )

    def clause(opinion):
        return rng.choice(clauses).format(**_opinion(rng, opinion, adjectives))

    words = {
        "yes": clause(label),
        "yes2": clause(label),
        "no": clause(not label),
        "no2": clause(not label),
        "deed": rng.choice(_DEEDS[label]),
        "people": rng.choice(_WORDS["people"]),
        "thing": rng.choice(_WORDS["things"]),
        "hedge": rng.choice(_WORDS["hedges"]),
    }
    text = rng.choice(patterns).format(**words, **_opinion(rng, label, adjectives)) + " ."
    return re.sub(r"\ba (?=[aeiou]|honest\b)", "an ", text)


def _opinion(rng, label, adjectives):
    same, same2 = rng.sample(adjectives[label], 2)
    aspect, aspect2 = rng.sample(_WORDS["aspects"], 2)
    return {
        "same": same,
        "same2": same2,
        "other": rng.choice(adjectives[not label]),
        "aspect": aspect,
        "aspect2": aspect2,
        "degree": rng.choice(_WORDS["intensifiers"]),
    }


def _tsv(split, rows):
    if split == "test":
        lines = ["index\tsentence", *(f"{i}\t{text}" for i, (text, _) in enumerate(rows))]
    else:
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in rows)]
    return "\n".join(lines) + "\n"
