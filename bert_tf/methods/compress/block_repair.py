"""Least squares repair of a smaller BERT, block by block, on the inputs that it really gets.

What a smaller model's projections make of *its own* hidden states is fitted to what the larger
model's make of theirs. The two that write to the residual stream are fitted to the difference of
the streams, so that what one block lost the next pays back. B batch, T tokens, H hidden.

Reference:
  Accurate Retraining-free Pruning for Pretrained Encoder-based Language Models (K-prune),
  arXiv 2308.03449.
"""

import numpy as np
import tensorflow as tf

from bert_tf.data import batching
from bert_tf.encoders.config import ATTENTION_INPUTS
from flop_tf.linalg import least_squares

#: The fewest examples by which units are chosen and models repaired.
LEAST_EXAMPLES = 64

#: Candidates of `flop_tf.linalg.least_squares.fit`.
RIDGES = (0.001, 0.01, 0.1, 1.0)

# Variance over mean square below which targets are constant but for rounding.
_CONSTANT = 1e-9

# Examples a batch.
_BATCH = 32
# Of so many batches one is held out, to choose the ridge.
_HELD_OUT = 4


def some_examples(encoded, options):
    """Returns the examples by which models are repaired, drawn by the seed of a run.

    Args:
      encoded: `EncodedExamples` of training.
      options: with `calibration_examples` and `seed`.

    Raises:
      ValueError: if there are too few.
    """
    check_number(len(encoded))
    number = min(options.calibration_examples, len(encoded))
    chosen = np.random.default_rng(options.seed).choice(len(encoded), number, replace=False)
    return encoded.take(np.sort(chosen))


def check_number(number):
    """Raises ValueError where a training set has too few examples to repair a model by.

    Args:
      number: of them.
    """
    if number < LEAST_EXAMPLES:
        raise ValueError(
            f"The training set must have at least {LEAST_EXAMPLES} examples for the choice and "
            f"the repair of units, received {number}."
        )


def batches(encoded):
    """Returns the batches of some examples by which a model is repaired, a `tf.data.Dataset`.

    Args:
      encoded: `EncodedExamples`.
    """
    return batching.evaluation_dataset(encoded, _BATCH)


def repair(student, teacher, aims, dataset, ridges=RIDGES):
    """Fits the projections of a smaller model to the model that it was cut from; in place.

    Args:
      student: a `BertModel` without gates; its weights change.
      teacher: the `BertModel` before the cut.
      aims: a `BertModel` whose queries, keys, values and neurons are what the student's should be,
        on the teacher's hidden states: the teacher without what was cut.
      dataset: `tf.data.Dataset` of at least two batches `(features, ...)`.
      ridges: floats of at least 0, the candidates.

    Returns:
      Dict by path of `{"ridge", "error_before", "error"}`; errors are mean squares relative to the
      variance of the targets, or to their mean square where they are constant.
    """
    texts = [_Text(student, teacher, features) for features, *_ in dataset]
    report = {}
    for index, block in enumerate(student.encoder.blocks):
        others = (model.encoder.blocks[index] for model in (teacher, aims))
        found = _Block(block, *others, texts, ridges).fit()
        report |= {f"blocks.{index}.{name}": one for name, one in found.items()}
    return report


class _Text:
    """A batch on its way through two models: hidden states `[B T, H]` of student and teacher."""

    def __init__(self, student, teacher, features):
        found = [model.encoder.block_inputs(features) for model in (student, teacher)]
        self.hidden = [hidden for hidden, _ in found]
        self.bias = found[0][1]
        self.batch = tf.shape(features["input_mask"])[0]
        self.real = tf.cast(tf.reshape(features["input_mask"], [-1]), tf.bool)


class _Block:
    """The blocks of student, teacher and aims of one number, and the batches before them."""

    def __init__(self, student, teacher, aims, texts, ridges):
        self.pair, self.aims, self.texts, self.ridges = (student, teacher), aims, texts, ridges
        self.report = {}

    def fit(self):
        """Fits the projections in the order of the computation, and moves the batches on.

        Returns:
          The report by projection.
        """
        student = self.pair[0]
        hidden = [text.hidden for text in self.texts]
        for name in ATTENTION_INPUTS if student.layer.num_heads else ():
            self._fit(name, hidden)
        contexts = self._both("context", hidden, [text.bias for text in self.texts])
        self._fit("attention_output", contexts, streams=hidden)
        attended = self._both("attended", hidden, contexts)
        batches = [text.batch for text in self.texts]
        neurons = attended
        if student.layer.has_ffn:
            if student.layer.intermediate_size:
                self._fit("ffn_in", attended)
            neurons = self._both("neurons", attended, batches)
            self._fit("ffn_out", neurons, streams=attended)
        for text, outputs in zip(
            self.texts, self._both("outputs", attended, neurons, batches), strict=True
        ):
            text.hidden = outputs
        return self.report

    def _both(self, part, *arguments):
        """Returns what a part of both blocks makes of each batch; pairs are one for each block."""
        return [
            [
                getattr(block, part)(*(a[i] if isinstance(a, list) else a for a in of_text))
                for i, block in enumerate(self.pair)
            ]
            for of_text in zip(*arguments, strict=True)
        ]

    def _fit(self, name, inputs, streams=None):
        """Fits a projection to its aim, or the teacher's and the difference of streams."""
        student = getattr(self.pair[0], name)
        aim = getattr(self.aims if streams is None else self.pair[1], name)
        parts = [None, None]
        for number, (text, own) in enumerate(zip(self.texts, inputs, strict=True)):
            targets = aim(own[1])
            if streams is not None:
                targets += streams[number][1] - streams[number][0]
            rows = _factor_inputs(student, own[0]), targets
            found = least_squares.Moments.of(
                *(tf.boolean_mask(each, text.real).numpy() for each in rows)
            )
            part = int(number % _HELD_OUT == 1)
            parts[part] = found if parts[part] is None else parts[part] + found
        old, everything = _kernel(student), parts[0] + parts[1]
        before = least_squares.error(everything, old, student.bias.numpy())
        kernel, bias, ridge = least_squares.best_fit(*parts, old, self.ridges)
        if kernel.size:
            _last_factor(student).assign(kernel)
        student.bias.assign(bias)
        mean = everything.targets / everything.rows
        squares = everything.squares / everything.rows
        variance = squares - mean @ mean
        # Targets that are the same for all tokens, such as a bias that is left of a sublayer.
        scale = variance if variance > _CONSTANT * squares else max(squares, _CONSTANT)
        after = least_squares.error(everything, kernel, bias)
        self.report[name] = {
            "ridge": ridge,
            "error_before": before / scale,
            "error": after / scale,
        }


def _factor_inputs(layer, inputs):
    """Returns what the last factor of a projection receives: `x`, `x P`, or nothing."""
    if hasattr(layer, "kernel"):
        return inputs
    return tf.matmul(inputs, layer.factor_in) if layer.rank else inputs[:, :0]


def _last_factor(layer):
    return layer.kernel if hasattr(layer, "kernel") else layer.factor_out


def _kernel(layer):
    """Returns the last factor of a projection, `[0, O]` where only its bias is left."""
    if hasattr(layer, "kernel") or layer.rank:
        return _last_factor(layer).numpy()
    return np.zeros([0, layer.units])
