"""Questions of SQuAD as its JSON holds them: articles of paragraphs with questions."""

import dataclasses
import itertools
import os
import typing

import numpy as np

from bert_tf.data.examples import DataFile
from flop_tf import files
from flop_tf.files import json_file

_FORM = "data > paragraphs > context, qas > id, question, answers > text, answer_start"


class _Answer(typing.TypedDict):
    text: str
    answer_start: int


class _Question(typing.TypedDict):
    id: str
    question: str
    answers: typing.NotRequired[list[_Answer]]
    is_impossible: typing.NotRequired[bool]


class _Paragraph(typing.TypedDict):
    context: str
    qas: list[_Question]


class _Article(typing.TypedDict):
    title: typing.NotRequired[str | None]
    paragraphs: list[_Paragraph]


class _File(typing.TypedDict):
    data: list[_Article]


@dataclasses.dataclass(frozen=True)
class SquadExamples:
    """Questions about the paragraphs of articles.

    Args:
      articles: list of dicts with `title` and `paragraphs`, each of these with `context` and
        `qas`, each of these with `id`, `question` and `answers`; of SQuAD 2.0 also with
        `is_impossible`. Every question has answers, or is impossible, or none is labelled.
    """

    articles: list

    def __len__(self):
        return sum(1 for _ in self.questions())

    def questions(self):
        """Yields `(context, question)` in the order of the file; the second is one of `qas`."""
        for article in self.articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield paragraph["context"], question

    @property
    def is_labelled(self):
        """Whether the questions have answers, or are said to have none."""
        return any(qa["answers"] or qa.get("is_impossible") for _, qa in self.questions())

    @property
    def may_be_impossible(self):
        """Whether they are those of SQuAD 2.0."""
        return any("is_impossible" in question for _, question in self.questions())

    def take(self, indices):
        """Returns the questions at `indices`, in the order of the file.

        Args:
          indices: sequence of ints.
        """
        wanted, number = set(indices), itertools.count()
        return self._with_questions(lambda qas: [qa for qa in qas if next(number) in wanted])

    def in_order(self):
        """Returns the questions by id, paragraphs and articles by their first question.

        TensorFlow Datasets shuffles the questions, so that no order of the file is left there.
        """
        ordered = self._with_questions(lambda qas: sorted(qas, key=_id))
        for article in ordered.articles:
            article["paragraphs"].sort(key=lambda paragraph: _id(paragraph["qas"][0]))
        ordered.articles.sort(key=lambda article: _id(article["paragraphs"][0]["qas"][0]))
        return ordered

    def with_first_answers(self):
        """Returns the questions with no more than one answer each."""
        return self._with_questions(lambda qas: [{**q, "answers": q["answers"][:1]} for q in qas])

    def split_by_article(self, num_examples, seed):
        """Splits off whole articles, so that no paragraph is on both sides.

        Args:
          num_examples: questions to split off; articles are drawn until there are as many
            or a few more. 0 splits off nothing.
          seed: int; the same seed splits the same way.

        Returns:
          `(rest, split off)`, both in the order of the file.

        Raises:
          ValueError: if no article would be left.
        """
        order = np.random.default_rng(seed).permutation(len(self.articles))
        sizes = np.array([len(SquadExamples([article])) for article in self.articles])[order]
        drawn = set(order[np.cumsum(sizes) - sizes < num_examples].tolist())
        if len(drawn) == len(self.articles):
            raise ValueError(
                f"Argument `holdout_examples` must leave an article of the {len(drawn)} with "
                f"{len(self)} questions, received {num_examples}."
            )
        parts = ([a for i, a in enumerate(self.articles) if (i in drawn) == s] for s in (0, 1))
        return tuple(SquadExamples(part) for part in parts)

    def write(self, path):
        """Writes a file that `read` reads.

        Args:
          path: of the file.
        """
        version = "v2.0" if self.may_be_impossible else "1.1"
        files.write_json(path, {"version": version, "data": self.articles})

    def _with_questions(self, change):
        """Returns the examples with `change(qas)` for the questions of each paragraph."""
        articles = []
        for article in self.articles:
            changed = [{**p, "qas": change(p["qas"])} for p in article["paragraphs"]]
            paragraphs = [paragraph for paragraph in changed if paragraph["qas"]]
            if paragraphs:
                articles.append({**article, "paragraphs": paragraphs})
        return SquadExamples(articles)


@dataclasses.dataclass(frozen=True)
class SquadFile(DataFile):
    """A split as a JSON file of the published layout.

    Args:
      file: see `DataFile`.
      unanswerable: whether questions may have no answer, as in SQuAD 2.0.
    """

    unanswerable: bool = False

    def read(self, data_dir):
        """Returns the `SquadExamples` of the file, see `read`.

        Args:
          data_dir: folder of the task.
        """
        return read(os.path.join(data_dir, self.file), self.unanswerable)


def read(path, unanswerable=False):
    """Returns the `SquadExamples` of a JSON file.

    Args:
      path: of the file.
      unanswerable: whether questions may have no answer, as in SQuAD 2.0.

    Raises:
      ValueError: if the file is missing, is not JSON or lacks the form of SQuAD.
    """
    files.check_regular(path, "data file")
    origin = f"The data file {os.fspath(path)!r}"
    with open(path, "rb") as file:  # Data sets may be larger than what `json_file.read` takes.
        data = json_file.parse(file.read(), json_file.Object, origin)
    json_file.check(data, _File, f"{origin} must have the form of SQuAD, {_FORM}")
    examples = SquadExamples([_article(article, unanswerable) for article in data["data"]])
    _check(origin, examples)
    return examples


def _article(data, unanswerable):
    paragraphs = [
        {"context": p["context"], "qas": [_question(qa, unanswerable) for qa in p["qas"]]}
        for p in data["paragraphs"]
    ]
    return {"title": data.get("title") or "", "paragraphs": paragraphs}


def _question(data, unanswerable):
    answers = [
        {"text": a["text"], "answer_start": int(a["answer_start"])} for a in data.get("answers", ())
    ]
    found = {"id": data["id"], "question": data["question"], "answers": answers}
    return {**found, "is_impossible": data.get("is_impossible", False)} if unanswerable else found


def _id(question):
    return question["id"]


def _check(origin, examples):
    if not len(examples):
        raise ValueError(f"{origin} has no questions.")
    is_labelled, seen, displaced, total = examples.is_labelled, set(), [], 0
    for context, question in examples.questions():
        name = question["id"]
        if name in seen:
            raise ValueError(f"{origin} must have each id once, received {name!r} twice.")
        seen.add(name)
        if "is_impossible" in question and is_labelled:
            if question["is_impossible"] == bool(question["answers"]):
                raise ValueError(
                    f"{origin} must have answers to questions without `is_impossible` and to no "
                    f"others, received {len(question['answers'])} for {name!r}."
                )
        elif is_labelled and not question["answers"]:
            raise ValueError(
                f"{origin} must have an answer to each question, as SQuAD v1.1 has, received none "
                f"for {name!r}; questions without an answer are those of SQuAD 2.0, task squad2."
            )
        for answer in question["answers"]:
            start, text = answer["answer_start"], answer["text"]
            if not text.strip() or start < 0 or start + len(text) > len(context):
                raise ValueError(
                    f"{origin} must have answers inside their context, received {text!r} at "
                    f"{start} of {len(context)} characters for {name!r}."
                )
            total += 1
            if context[start : start + len(text)].split() != text.split():
                displaced.append((name, start, text))
    if len(displaced) > total / 2:  # A few are in files that people made.
        name, start, text = displaced[0]
        raise ValueError(
            f"{origin} must have answers where they stand in their contexts, received "
            f"{len(displaced)} of {total} elsewhere, such as {text[:40]!r} at {start} for "
            f"{name!r}; `answer_start` counts characters from 0."
        )
