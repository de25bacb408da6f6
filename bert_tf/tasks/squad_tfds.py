"""SQuAD from TensorFlow Datasets, whose order of questions `SquadExamples.in_order` undoes."""

import dataclasses

from bert_tf.tasks import tfds_data
from bert_tf.tasks.squad_examples import SquadExamples

_SPLITS = {"train": "train", "dev": "validation"}


class PreparedSquad(tfds_data.Prepared):
    """One split of SQuAD v1.1; what `bert_tf.tasks.squad_examples.SquadFile` is for a file."""

    def read(self, data_dir):
        """Returns the `SquadExamples` of the split: questions with one context are a paragraph.

        Args:
          data_dir: folder of TensorFlow Datasets.

        Raises:
          ValueError: if the data set is not prepared there, damaged or lacks a feature.
        """
        names = ("id", "title", "context", "question", "answers")
        rows, _ = tfds_data.rows(self.dataset, self.split, data_dir, names)
        articles = {}
        for i, context in enumerate(rows["context"]):
            texts, starts = rows["answers"]["text"][i], rows["answers"]["answer_start"][i]
            question = {
                "id": rows["id"][i].decode("utf-8"),
                "question": rows["question"][i].decode("utf-8"),
                "answers": [
                    {"text": text.decode("utf-8"), "answer_start": int(start)}
                    for text, start in zip(texts.tolist(), starts.tolist(), strict=True)
                    if text  # Rows are padded to the most answers.
                ],
            }
            article = articles.setdefault(rows["title"][i].decode("utf-8"), {})
            article.setdefault(context.decode("utf-8"), []).append(question)
        return SquadExamples(
            [
                {"title": title, "paragraphs": [{"context": c, "qas": q} for c, q in paragraphs]}
                for title, paragraphs in ((t, list(p.items())) for t, p in articles.items())
            ]
        )


def _prepared(task):
    """Returns SQuAD with the prepared splits as its sources."""
    splits = ((ours, (PreparedSquad("squad", theirs),)) for ours, theirs in _SPLITS.items())
    return dataclasses.replace(task, splits=tuple(splits), arguments=(("tfds", "squad"),))


tfds_data.DATASETS.register("squad")(tfds_data.Dataset("SQuAD", _prepared, "squad/v1.1"))
