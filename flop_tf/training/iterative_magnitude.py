"""Iterative magnitude pruning: train, prune a tenth of the weights, rewind, and again.

Reference:
  The Lottery Ticket Hypothesis, arXiv 1803.03635; for BERT, The Lottery Ticket Hypothesis for
  Pre-trained BERT Networks, arXiv 2007.12223.
"""

import numpy as np

from flop_tf.backend import keras

#: Tenths of the weights that can be pruned.
MOST_ROUNDS = 9


def num_rounds(sparsity):
    """Returns how often a tenth of the weights is pruned until the sparsity is reached.

    Args:
      sparsity: float, one of .1, .2, ..., .9.

    Raises:
      ValueError: if it is not one of .1, .2, ..., .9.
    """
    rounds = round(10 * sparsity)
    if not 1 <= rounds <= MOST_ROUNDS or abs(10 * sparsity - rounds) > 1e-6:
        raise ValueError(
            "Argument `sparsity` of iterative magnitude pruning must be one of .1, .2, ..., .9, as "
            f"each round prunes a tenth, received {sparsity}."
        )
    return rounds


def zeros_of_rounds(size, rounds=MOST_ROUNDS):
    """Returns the zeros of n weights after each round, a list of ints.

    Round j prunes `round(r / (10 - j))` of the r weights that remain, j from 0, halves to even:
    a tenth of the original ones each time, up to rounding.

    Args:
      size: n.
      rounds: at most 9.
    """
    zeros = []
    for j in range(rounds):
        pruned = zeros[-1] if zeros else 0
        zeros.append(pruned + round((size - pruned) / (10 - j)))
    return zeros


class IterativeMagnitude(keras.callbacks.Callback):
    """Prunes a tenth of every matrix when training begins and after every `interval` steps.

    What is pruned are the smallest `|w|` of those left, by their present values. After that all
    weights go back to where they started and the optimizer forgets its moments; `rewind=False`
    leaves the weights where they are, as the published code does by an oversight.

    >>> from flop_tf.layers.gated_dense import GatedDense
    >>> layer = GatedDense(10, gate="magnitude")
    >>> layer.build([None, 10])
    >>> start = layer.kernel.numpy()
    >>> pruning = IterativeMagnitude([(layer.gate, layer.kernel)], [layer.kernel], [start], 3, 100)
    >>> pruning.prune(0)
    >>> int(layer.gate.values.numpy().sum())
    90

    Args:
      matrices: list of `(gate, variable)`, gates of magnitude and the weights that they mask.
      weights: list of the variables that are rewound.
      original: list of the arrays that they go back to.
      rounds: how often to prune, at least 1; the first time is before any training.
      interval: steps between two times.
      rewind: whether the weights go back.

    Raises:
      ValueError: if there are no matrices.
    """

    def __init__(self, matrices, weights, original, rounds, interval, rewind=True):
        super().__init__()
        if not matrices:
            raise ValueError("Argument `matrices` must have a matrix to prune, received none.")
        self.matrices = matrices
        self.weights = weights
        self.original = original
        self.rounds = rounds
        self.interval = interval
        self.rewind = rewind

    def on_train_begin(self, logs=None):
        """Prunes for the first time, unless training resumes from a checkpoint.

        Args:
          logs: dict of scalars of the step, or None.
        """
        self.step = int(self.model.optimizer.iterations.numpy())
        if not self.step:
            self.prune(0)

    def on_train_batch_end(self, batch, logs=None):
        """Prunes where it is time.

        Args:
          batch: index of the batch in its epoch, int.
          logs: dict of scalars of the step, or None.
        """
        before, self.step = self.step, int(self.model.optimizer.iterations.numpy())
        done = self.step // self.interval
        if done > before // self.interval and done < self.rounds:
            self.prune(done)
            if self.rewind:
                for variable, array in zip(self.weights, self.original, strict=True):
                    variable.assign(array)
            self.forget()

    def prune(self, index):
        """Prunes for the time of an index from 0; what is pruned stays so.

        Args:
          index: int from 0 to `rounds` - 1.
        """
        for gate, variable in self.matrices:
            size = np.maximum(np.abs(variable.numpy()), np.finfo(np.float32).tiny)
            zeros = zeros_of_rounds(size.size, index + 1)[-1]
            gate.keep_largest(np.where(gate.keep(), size, 0), size.size - zeros)

    def forget(self):
        """Sets the moments of the optimizer to 0."""
        for variable in self.model.optimizer.variables:
            if variable.dtype.is_floating and variable.shape.rank:
                variable.assign(np.zeros(variable.shape, np.float32))
