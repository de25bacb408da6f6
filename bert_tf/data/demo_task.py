"""A sentiment task that the project writes itself, in the layout of GLUE's SST-2.

Each sentence is built from its label downwards: a sentence pattern (plain,
contrast, reported opinion, unmet expectation, mixed aspects, ...) says which
of its clauses decides; a clause says its opinion plainly, negated, doubly
negated or by what the writer did; the word follows from both. The label is
therefore always right. As in reviews, most sentences say plainly what they
mean; in the others single words say little about the label. A part of the
opinion words is kept out of the training split.
"""

import os
import pathlib
import random
import re

from bert_tf import ranges
from flop_tf import files

#: Sentences of a split: far fewer than there are, so that new ones are found at once.
SIZE = ranges.Range(at_least=1, at_most=100_000)

ASPECTS = (
    "plot|acting|ending|dialogue|soundtrack|camera work|pacing|script|lead actor|humor|opening|"
    "directing|service|food|view|room|staff|breakfast|design|battery|screen|manual|writing|"
    "first half|last chapter|cast|story|atmosphere|sound|idea"
).split("|")
THINGS = (
    "film|movie|book|restaurant|hotel|phone|concert|novel|sequel|documentary|game|show|play|series|"
    "bar|camera|museum|course|album|trip"
).split("|")
INTENSIFIERS = "very|truly|quite|really|utterly|deeply|rather|so|remarkably|simply".split("|")
HEDGES = "somewhat|a little|kind of|mostly|in places|by and large|on the whole".split("|")
PEOPLE = (
    "my sister|the critics|my friends|the reviewer|our guide|everybody|the man beside me|the poster"
).split("|")

ADJECTIVES = {
    True: (
        "good|great|wonderful|charming|brilliant|delightful|moving|clever|funny|beautiful|superb|"
        "gripping|fresh|honest|elegant|lovely|excellent|smart|warm|inspired|memorable|enjoyable|"
        "touching|graceful|rewarding|vivid|impressive|witty|thrilling|satisfying|refreshing|tender|"
        "stunning|polished|heartfelt|engaging|splendid|magnificent|captivating|masterful"
    ).split("|"),
    False: (
        "bad|awful|terrible|boring|dull|stupid|clumsy|ugly|weak|tedious|lifeless|shallow|annoying|"
        "predictable|messy|bland|pointless|silly|dreadful|cheap|painful|stale|confusing|sloppy|"
        "tiresome|pretentious|lazy|hollow|irritating|disappointing|forgettable|flat|wooden|grating|"
        "dismal|lousy|insipid|atrocious|mediocre|plodding"
    ).split("|"),
}
DEEDS = {
    True: (
        "i went back the very next day|i did not look at my watch once|i would pay twice for it|"
        "i was sorry when it was over|i have told all my friends about it|i could not stop smiling|"
        "i will keep it for my children|the whole room rose to its feet|i want more of it|"
        "i lost all sense of time"
    ).split("|"),
    False: (
        "i left after half an hour|i looked at my watch every five minutes|i want my money back|"
        "i was glad when it was over|i have warned all my friends about it|i had to yawn a lot|"
        "i gave it away on the same day|half of the room walked out|i had enough of it soon|"
        "i would rather have stayed at home"
    ).split("|"),
}

#: An opinion about an aspect: `{same}` is a word of that opinion, `{other}` of the opposite.
PLAIN_CLAUSES = (
    "the {aspect} was {same}",
    "the {aspect} was {degree} {same}",
    "the {aspect} was {degree} {same} and {same2}",
    "i found the {aspect} {degree} {same}",
)
CLAUSES = (
    *PLAIN_CLAUSES,
    "the {aspect} was not {other}",
    "the {aspect} was never {other}",
    "the {aspect} was anything but {other}",
    "the {aspect} was nothing if not {same}",
    "the {aspect} was hardly {other}",
    "the {aspect} was far from {other}",
    "the {aspect} was not {other} at all",
    "the {aspect} did not fail to be {same}",
    "the {aspect} failed to be {other}",
    "nobody could call the {aspect} {other}",
    "nobody could deny that the {aspect} was {same}",
    "there was nothing {other} about the {aspect}",
    "one can not say that the {aspect} was {other}",
    "few will doubt that the {aspect} was {same}",
    "hardly anyone found the {aspect} {other}",
    "it would be wrong to say that the {aspect} was not {same}",
    "it is not true that the {aspect} was {other}",
    "the {aspect} was less {other} than {same}",
    "the {aspect} was more {same} than {other}",
)

#: Sentences by their clauses: `{yes}` says the label, `{no}` the opposite.
PLAIN_PATTERNS = (
    "{yes}",
    "{yes} , and {deed}",
    "all in all , {yes}",
    "this {thing} was {hedge} {same}",
    "what a {same} {thing}",
)
PATTERNS = (
    *PLAIN_PATTERNS,
    "{yes} , and {yes2}",
    "although {no} , {yes}",
    "{no} , but {yes}",
    "{yes} , even though {no}",
    "{no} ; still , {yes}",
    "{no} and {no2} , yet in the end {deed}",
    "{no} , but who cares : {deed}",
    "despite the {other} {aspect} , {yes}",
    "{yes} despite the {other} {aspect}",
    "the {other} {aspect} could not change that {yes}",
    "{people} said that {no} , and i could not disagree more",
    "{people} said that {yes} , and i could not agree more",
    "{people} called this {thing} {other} , which is wrong",
    "{people} called this {thing} {same} , which is right",
    "{people} found it {other} ; i do not share that opinion",
    "i was told that {no} , but it turned out that {yes}",
    "i expected a {other} {thing} and got the opposite",
    "i expected a {same} {thing} and was proved right",
    "i thought that {no} until i saw it again , and now i think the opposite",
    "unlike the last {thing} , which was {other} , this one was {hedge} {same}",
    "like the last {thing} , which was {same} , this one was not {other}",
    "this {thing} was {hedge} {same} , which can not be said of the {other} one before it",
    "this {thing} was nowhere near as {other} as i had expected",
    "this {thing} was every bit as {same} as i had expected",
    "the {aspect} was {same} , the {aspect2} was {other} , and the {aspect} is what counts",
    "the {aspect} was {other} , the {aspect2} was {same} , and the {aspect2} is what counts",
    "{no} , {no2} , and all the same i would call this {thing} {same}",
    "if {no} , i did not notice : {deed}",
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
    clauses, patterns = (CLAUSES, PATTERNS) if mixed else (PLAIN_CLAUSES, PLAIN_PATTERNS)

    def clause(opinion):
        return rng.choice(clauses).format(**_opinion(rng, opinion, adjectives))

    words = {
        "yes": clause(label),
        "yes2": clause(label),
        "no": clause(not label),
        "no2": clause(not label),
        "deed": rng.choice(DEEDS[label]),
        "people": rng.choice(PEOPLE),
        "thing": rng.choice(THINGS),
        "hedge": rng.choice(HEDGES),
    }
    text = rng.choice(patterns).format(**words, **_opinion(rng, label, adjectives)) + " ."
    return re.sub(r"\ba (?=[aeiou]|honest\b)", "an ", text)


def _opinion(rng, label, adjectives):
    same, same2 = rng.sample(adjectives[label], 2)
    aspect, aspect2 = rng.sample(ASPECTS, 2)
    return {
        "same": same,
        "same2": same2,
        "other": rng.choice(adjectives[not label]),
        "aspect": aspect,
        "aspect2": aspect2,
        "degree": rng.choice(INTENSIFIERS),
    }


def _tsv(split, rows):
    if split == "test":
        lines = ["index\tsentence", *(f"{i}\t{text}" for i, (text, _) in enumerate(rows))]
    else:
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in rows)]
    return "\n".join(lines) + "\n"
