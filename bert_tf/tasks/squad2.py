"""SQuAD 2.0: some questions have no answer in their paragraph, which a model says by [CLS].

The score of no answer is the smallest sum of start and end logit of [CLS] over the windows of a
question. There is no answer where it exceeds the score of the best answer by more than a threshold,
which is chosen on the split that decides, see `bert_tf.tasks.labels_task`.
"""

import dataclasses
import os

import numpy as np
from official.nlp.tools import squad_evaluate_v2_0

from bert_tf import option_fields, ranges
from bert_tf.option_fields import option
from bert_tf.tasks import metrics, squad_windows
from bert_tf.tasks.registry import register_task
from bert_tf.tasks.squad import SquadOptions, SquadTask
from bert_tf.tasks.squad_examples import SquadFile
from flop_tf import files

_THRESHOLD = "null_score_diff_threshold"


@dataclasses.dataclass(frozen=True)
class Squad2Options(SquadOptions):
    """The options of SQuAD 2.0: those of SQuAD, and when a question has no answer."""

    null_score_diff_threshold: float = option(
        None,
        "Task squad2: by how much no answer must exceed the best answer; by default chosen on the "
        "split that decides.",
        allowed=ranges.FINITE,
    )


@dataclasses.dataclass(frozen=True)
class Squad2Task(SquadTask, Squad2Options):
    """SQuAD 2.0; the settings are the `Squad2Options`, see `SquadTask`."""

    name: str = "SQuAD2"
    splits: tuple = (
        ("train", (SquadFile("train-v2.0.json", unanswerable=True),)),
        ("dev", (SquadFile("dev-v2.0.json", unanswerable=True),)),
    )

    metrics = (
        *("exact_match", "f1", "HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1"),
        _THRESHOLD,
    )

    def to_dict(self):
        """Returns plain data, see `SquadTask`."""
        threshold = self.null_score_diff_threshold
        return {**super().to_dict(), **({} if threshold is None else {_THRESHOLD: threshold})}

    def tuned(self, logits, encoded):
        """Returns the task with the threshold of best F1, unless it has one; see `Task`."""
        if self.null_score_diff_threshold is not None:
            return self
        found, _, differences = self._found(logits, encoded)
        # Private, and the one place with the scores of single questions.
        _, f1_scores = squad_evaluate_v2_0._get_raw_scores(encoded.articles, found)
        _, of_none = squad_evaluate_v2_0._get_raw_scores(encoded.articles, dict.fromkeys(found, ""))
        gains = np.array([f1_scores[name] - of_none[name] for name in found])
        threshold = best_threshold(np.array([differences[name] for name in found]), gains)
        return dataclasses.replace(self, null_score_diff_threshold=threshold)

    def tuned_as(self, info):
        """Returns the task with the threshold of a model, see `Task`."""
        known = info.get("task", {}).get(_THRESHOLD)
        return self if known is None else dataclasses.replace(self, null_score_diff_threshold=known)

    def score(self, logits, encoded):
        """Returns `eval_loss`, the scores of the official program in [0, 1], and the threshold.

        Those of questions with and without an answer are left out where there are no such. The loss
        is the mean over windows, of the first answer where there are several.
        """
        best, *_ = self._answers(logits, encoded)
        found = squad_evaluate_v2_0.evaluate(encoded.articles, best)
        found["exact_match"] = found.pop("exact")
        scores = {name: found[name] / 100 for name in self.metrics if name in found}
        loss = metrics.cross_entropy(logits, encoded.labels)
        return {"eval_loss": loss, **scores, _THRESHOLD: float(self._threshold)}

    def write_predictions(self, split, examples, encoded, logits, directory):
        """Writes the files of SQuAD and `null_odds.json`, the differences to the best answer."""
        super().write_predictions(split, examples, encoded, logits, directory)
        *_, differences = self._found(logits, encoded)
        files.write_json(os.path.join(directory, "null_odds.json"), differences)

    @property
    def _threshold(self):
        return self.null_score_diff_threshold or 0.0

    def _answers(self, logits, encoded):
        """Returns the answer to each question, "" where there is none, and the best ones."""
        found, n_best, differences = self._found(logits, encoded)
        best = {k: "" if differences[k] > self._threshold else text for k, text in found.items()}
        return best, n_best

    def _found(self, logits, encoded):
        """Returns the best answer to each question, see `squad_windows.possible_answers`."""
        sizes = self.n_best_size, self.max_answer_length
        return squad_windows.possible_answers(encoded, logits, *sizes)


def best_threshold(differences, gains):
    """Returns the threshold at which the sum of the gains of all answers below it is greatest.

    It lies halfway between two differences, and is 0 where that is as good.

    Args:
      differences: `[N]`, the score of no answer minus that of the best answer.
      gains: `[N]`, the score that the best answer gets minus the score that no answer gets.
    """
    differences, inverse = np.unique(differences, return_inverse=True)
    # Where none is answered, the lowest one, ..., all of them.
    totals = np.append(0.0, np.cumsum(np.bincount(inverse, gains)))
    lowest = np.append(differences[0] - 2, differences)
    highest = np.append(differences, differences[-1] + 2)
    best = np.flatnonzero(totals >= totals.max() - 1e-9)
    if ((lowest[best] <= 0) & (highest[best] > 0)).any():
        return 0.0
    middles = (lowest[best] + highest[best]) / 2
    return float(middles[np.argmin(np.abs(middles))])


@register_task("SQuAD2", Squad2Options)
def squad2(settings, data_dir, labels):
    """Returns SQuAD 2.0.

    Args:
      settings: `Squad2Options`.
      data_dir: not used; so `labels`.
      labels: see above.

    Raises:
      ValueError: if a number is out of range.
    """
    return Squad2Task(**option_fields.values_of(settings, Squad2Options))
