"""Several numbers for a text or a pair of texts, a regression with an output for each."""

import dataclasses

import numpy as np

from bert_tf.tasks import metrics
from bert_tf.tasks.text_task import NUMBER, REGRESSION_METRICS, TextTask


@dataclasses.dataclass(frozen=True)
class NumbersTask(TextTask):
    """Several numbers for a text or a pair of texts; `labels` are the names of their columns."""

    primary_metric: str = "pearson"

    has_single_answer = False

    @property
    def head(self):
        """A head of so many numbers, as fields of `EncoderConfig`."""
        return {"head": "numbers", "num_labels": self.num_outputs}

    @property
    def metrics(self):
        """The means over the numbers, then each number's own after its name."""
        own = (f"{name}/{metric}" for name in self.labels for metric in REGRESSION_METRICS)
        return (*REGRESSION_METRICS, *own)

    def decided(self, logits, encoded=None):
        """Returns None: numbers are no classes."""
        return None

    def score(self, logits, encoded):
        """Returns `eval_loss`, the mean squared error, and the metrics, a dict of floats."""
        labels = np.asarray(encoded.labels, np.float64)
        logits = metrics.checked(self, logits, labels)
        found = [metrics.regression(*pair) for pair in zip(logits.T, labels.T, strict=True)]
        means = {name: float(np.mean([one[name] for one in found])) for name in REGRESSION_METRICS}
        own = {
            f"{label}/{name}": value
            for label, one in zip(self.labels, found, strict=True)
            for name, value in one.items()
        }
        return {"eval_loss": means["mse"], **means, **own}

    def by_label(self, logits, encoded):
        """Returns []: the metrics of each number are among the scores."""
        return []

    def compared(self, examples, answers, other, other_answers):
        """Returns how far all numbers are apart, see `Task`; the distance is the mean over them."""
        (logits, _), (other_logits, _) = answers, other_answers
        all_numbers = examples.labels, logits, other_logits
        shown = [[", ".join(f"{n:.4g}" for n in row) for row in one] for one in all_numbers]
        return np.ones(len(examples), bool), np.abs(logits - other_logits).mean(axis=1), shown

    def texts_of(self, logits):
        """Returns the numbers of each answer with commas between them."""
        return [",".join(f"{number:.6g}" for number in row) for row in logits]

    def _report(self, path, labels, split):
        """Logs nothing: numbers are not counted."""

    def _parse(self, labels, line_numbers, path):
        """Turns tuples of texts into float32 `[N, C]`."""
        for cells, line in zip(labels, line_numbers, strict=True):
            for cell in cells:
                if self._score(cell) is None:
                    raise self._refused(path, f"{NUMBER} in each of {self._listing}", cell, line)
        return np.array([[self._score(cell) for cell in cells] for cells in labels], np.float32)
