"""A tag for each word of a sentence: named entities, or plain tags such as parts of speech."""

import collections
import dataclasses
import io
import itertools
import os
import re

import numpy as np
import tensorflow as tf
from absl import logging

from bert_tf.data.sentences import SentenceFile
from bert_tf.option_fields import option
from bert_tf.tasks import metrics, sentence_windows, tag_schemes, tag_scores
from bert_tf.tasks.labelled_task import LabelledTask
from bert_tf.tasks.registry import register_task
from bert_tf.tokenizers.tokenizer import first_tokens
from flop_tf import files

_SPLITS = ("train", "dev", "test")
_ENDINGS = ("conll", "txt", "tsv", "jsonl")

# What ends a field or a row, and a line for programs that know those of Unicode.
_BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# Labels that an error or a line of the log names.
_LISTED = 20


@dataclasses.dataclass(frozen=True)
class TokenOptions:
    """The options of tags of words: where they stand in the files."""

    word_column: str = option(
        "", "Task tokens: column of the words, from 1, or key of JSON lines; the first, or tokens."
    )
    tag_column: str = option(
        "", "Task tokens: column of the tags, from 1, or key of JSON lines; the last, or tags."
    )


@dataclasses.dataclass(frozen=True)
class TokensTask(LabelledTask):
    """A tag for each word of a sentence.

    Args:
      name: "tokens".
      splits: tuple of `(split, sources)`, see `bert_tf.data.sentences.SentenceFile`.
      primary_metric: the metric that decides which checkpoint is best.
      arguments: tuple of `(name, value)` of the other arguments of `get`, for `to_dict`.
      labels: the tags in the order of the logits, see `bert_tf.tasks.tag_schemes`.
    """

    labels: tuple = ()

    metrics = tag_scores.METRICS

    @property
    def head(self):
        """A class for each token, as fields of `EncoderConfig`."""
        return {"head": "tokens", "num_labels": len(self.labels)}

    def to_dict(self):
        """Returns plain data; `get(**data)` gives this task again, without looking at files."""
        return {"name": self.name, "labels": list(self.labels), **dict(self.arguments)}

    def read(self, data_dir, split):
        """Reads the `bert_tf.data.sentences.Sentences` of a split, their tags as classes.

        Raises:
          ValueError: if the split or its file is missing or does not fit, or it has another tag.
        """
        source = self.source(data_dir, split)
        path, found = os.path.join(data_dir, source.file), source.read(data_dir)
        if found.tags is None:
            return found
        only = set(_chained(found.tags))
        if split == "test" and len(only) == 1 and not only & set(self.labels):
            logging.info("%s: its tags are all %r, so it counts as without.", path, *only)
            return dataclasses.replace(found, tags=None)
        tags = _with_begins(found, path)
        if split == "train":
            _report(path, tags)
        numbers = {tag: number for number, tag in enumerate(self.labels)}
        for tag, line in zip(*map(_chained, (tags, found.lines)), strict=True):
            if tag not in numbers:
                others = len(self.labels) - _LISTED
                raise ValueError(
                    f"The data file {path!r} needs one of {list(self.labels[:_LISTED])}"
                    f"{f' and {others} others' if others > 0 else ''} as a tag, received "
                    f"{tag[:80]!r} in line {line}."
                )
        classes = [[numbers[tag] for tag in one] for one in tags]
        return dataclasses.replace(found, tags=classes)

    def texts(self, examples):
        """Returns the sentences, with blanks between their words."""
        return {"text": [" ".join(words) for words in examples.words]}

    def encode(self, examples, tokenizer, max_seq_length, training=False):
        """Returns windows over the sentences, see `bert_tf.tasks.sentence_windows.encode`."""
        return sentence_windows.encode(examples, tokenizer, max_seq_length)

    def text_answers(self, answers, texts, word_ids, tokenizer):
        """Adds the words of each text, `word_labels`, and where they stand, all `[B, W]`.

        `starts` and `ends` are int32 in characters of Unicode, so that `text[start:end]` is a word
        in Python; rows are filled up with "" and -1. Words that the length cuts off are left out.
        Where tags are of entities, `entities`, `entity_types`, `entity_starts` and `entity_ends`,
        `[B, E]`, are the runs of words that make one, see `tag_schemes.entities`.

        Args:
          answers: see `Task`; so the others.
          texts: see above.
          word_ids: see above.
          tokenizer: see above.
        """
        words, starts, ends = tokenizer.split(texts["text"])
        parts = tokenizer.template[0]
        counts = words.with_values(tokenizer.tokenize(words.values).row_lengths())
        places = tf.cumsum(counts.to_tensor(0), axis=1, exclusive=True)
        # A text of more tokens than the longest row has was cut to as many.
        room = tf.shape(word_ids, tf.int64)[1] - tokenizer.num_special(1)
        is_kept = (places < room) & tf.sequence_mask(words.row_lengths(), tf.shape(places)[1])
        kept = tf.reduce_sum(tf.cast(is_kept, tf.int64), axis=1)
        width = tf.reduce_max(tf.concat([kept, [0]], axis=0))
        first = tf.minimum(places[:, :width], room - 1) + len(parts[0][0])
        labels = tf.gather(answers["labels"], first, batch_dims=1)
        has_tokens = counts.to_tensor(0)[:, :width] > 0
        labels = tf.where(has_tokens, labels, self.labels[self._otherwise])
        found = {
            "words": first_tokens(words, kept).to_tensor(""),
            "word_labels": tf.where(is_kept[:, :width], labels, ""),
            "starts": first_tokens(starts, kept).to_tensor(-1),
            "ends": first_tokens(ends, kept).to_tensor(-1),
        }
        return {**answers, **found, **self._entities(texts["text"], found)}

    def score(self, logits, encoded):
        """Returns `eval_loss` and the scores of `bert_tf.tasks.tag_scores`, a dict of floats.

        The loss is the mean over words.
        """
        is_read = encoded.places >= 0
        words, labels = sentence_windows.word_logits(encoded, logits), encoded.classes[is_read]
        loss = metrics.cross_entropy(words, labels) if len(words) else 0.0
        return {
            "eval_loss": loss,
            **tag_scores.score(self.labels, *self._tags(logits, encoded)),
        }

    def decided(self, logits, encoded=None):
        """Returns the likeliest class of each word."""
        return sentence_windows.word_classes(encoded, logits, self._otherwise)

    def by_label(self, logits, encoded):
        """Returns the scores of each type of entity, or plain tag, see `Task`."""
        return tag_scores.by_class(self.labels, *self._tags(logits, encoded))

    def compared(self, examples, answers, other, other_answers):
        """Returns which sentences have other tags, see `Task`; the distance is a share of words.

        What is shown are the words that differ, with their tags.
        """
        ends = np.cumsum([len(words) for words in examples.words])[:-1]
        found = (self.decided(*answers), other.decided(*other_answers))
        first, second = (np.split(classes, ends) for classes in found)
        places = [np.flatnonzero(x != y) for x, y in zip(first, second, strict=True)]
        sizes = [max(1, len(words)) for words in examples.words]
        difference = np.array([len(one) / size for one, size in zip(places, sizes, strict=True)])
        shown = [
            [
                ", ".join(f"{words[place]} {self.labels[tags[place]]}" for place in own)
                for words, tags, own in zip(examples.words, given, places, strict=True)
            ]
            for given in (examples.tags, first, second)
        ]
        return difference > 0, difference, shown

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes a word and its tag a line, a blank line after each sentence.

        The file is `predictions.conll` of the split "test", of others `tokens.SPLIT.conll`.
        """
        name = "predictions.conll" if split == "test" else f"{self.name}.{split}.conll"
        tags, table = iter(self.decided(logits, encoded)), io.StringIO(newline="")
        for words in examples.words:
            for word in words:
                # In JSON lines a word may hold a tab or a line break.
                table.write(f"{_BREAKS.sub(' ', word)}\t{self.labels[next(tags)]}\n")
            table.write("\n")
        files.write_text(os.path.join(directory, name), table.getvalue())

    def _entities(self, texts, found):
        """Returns the entities of texts by their words, nothing where tags are plain."""
        if not tag_schemes.types(self.labels):
            return {}
        types, first, last = tag_schemes.entities(found["word_labels"])
        starts = tf.ragged.boolean_mask(found["starts"], first)
        ends = tf.ragged.boolean_mask(found["ends"], last)
        owners = tf.gather(texts, starts.value_rowids())
        sizes = ends.values - starts.values
        parts = tf.strings.substr(owners, starts.values, sizes, unit="UTF8_CHAR")
        return {
            "entities": starts.with_values(parts).to_tensor(""),
            "entity_types": types.to_tensor(""),
            "entity_starts": starts.to_tensor(-1),
            "entity_ends": ends.to_tensor(-1),
        }

    @property
    def _otherwise(self):
        """The class of a word without tokens."""
        found = tag_schemes.OUTSIDE
        return self.labels.index(found) if found in self.labels else 0

    def _tags(self, logits, encoded):
        """Returns the tags of the words and the predicted ones, by sentence."""
        names = np.array(self.labels, object)
        found = (encoded.classes, self.decided(logits, encoded))
        return [encoded.split(names[classes]) for classes in found]


@register_task("tokens", TokenOptions)
def tokens(settings, data_dir, labels):
    """Returns the task of tags of words.

    Args:
      settings: `TokenOptions`.
      data_dir: where the training file lies, whose tags are collected; not used with `labels`.
      labels: the tags, a list of texts, or None.

    Raises:
      ValueError: if the training file does not fit.
    """
    arguments = tuple(vars(settings).items())
    splits = tuple((split, _files(split, settings)) for split in _SPLITS)
    found = TokensTask("tokens", splits, "f1", arguments)
    labels = tuple(labels or _collect_labels(data_dir, found))
    is_plain = not tag_schemes.types(labels)
    metric = "eval_accuracy" if is_plain else "f1"
    return dataclasses.replace(found, labels=labels, primary_metric=metric)


def _files(split, settings):
    """Returns the files of a split, of which there must be one."""
    names = [f"{split}.{ending}" for ending in _ENDINGS]
    return tuple(
        SentenceFile(name, **vars(settings), tags_are_optional=split == "test", excludes=excludes)
        for name, excludes in ((name, tuple(names[i:])) for i, name in enumerate(names, 1))
    )


def _collect_labels(data_dir, found):
    """Returns the tags of the training file."""
    if not data_dir:
        raise ValueError("Task 'tokens' needs `data_dir` or `labels` to know its tags.")
    source = found.source(data_dir, "train")
    sentences = source.read(data_dir)
    lines = {}  # Of the first word with each tag.
    for tags, numbers in zip(
        map(tag_schemes.with_begins, sentences.tags), sentences.lines, strict=True
    ):
        for tag, line in zip(tags, numbers, strict=True):
            lines.setdefault(tag, line)
    path = os.path.join(data_dir, source.file)
    origin, first = f"The data file {path!r}", next(_chained(sentences.tags))
    is_once = list(_chained(sentences.tags)).count(first) == 1
    for tag, line in lines.items():
        if not tag or len(tag.split()) != 1:
            raise ValueError(
                f"{origin} must have tags without blanks, received {tag[:40]!r} in line {line}."
            )
    try:
        tags = tag_schemes.all_tags(lines)
    except ValueError as error:
        hint = f"; its first row has the tag {first!r}, is it a header?" if is_once else "."
        raise ValueError(f"{origin} must have {error}{hint}") from error
    if is_once:
        logging.warning(
            "%s: no other row has the tag %r of the first one; remove the row if it is a header.",
            path,
            first,
        )
    if len(tags) < 2:
        raise ValueError(f"{origin} must have at least two tags, received {list(tags)}.")
    return tags


def _with_begins(sentences, path):
    """Returns tags in which B- begins every entity, and says where it did not."""
    tags = list(map(tag_schemes.with_begins, sentences.tags))
    changed = [
        line
        for line, one, other in zip(
            *map(_chained, (sentences.lines, sentences.tags, tags)), strict=True
        )
        if one != other
    ]
    if changed:
        logging.info(
            "%s: %d entities begin with I- or E- as in IOB1, the first one in line %d; they are "
            "read as if they began with B- or S-.",
            path,
            len(changed),
            changed[0],
        )
    return tags


def _report(path, tags):
    """Logs how many sentences, words and entities or tags a training set has."""
    flat = list(_chained(tags))
    entities = [
        tag[2:] for tag in flat if tag[:2] in ("B-", "S-") and tag_schemes.is_of_entity(tag)
    ]
    counts = collections.Counter(entities if any(map(tag_schemes.is_of_entity, flat)) else flat)
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.most_common(_LISTED))
    logging.info(
        "%s has %s sentences, %s words: %s.", path, f"{len(tags):,}", f"{len(flat):,}", listed
    )


def _chained(rows):
    return itertools.chain.from_iterable(rows)
