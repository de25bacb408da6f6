"""Several differences on one loaded base: a switch writes only the entries that differ."""

import typing

import numpy as np
import tensorflow as tf


class SwitchedDiffs:
    """Lets variables hold a base with one of several differences, or the base itself.

    A switch puts back what the difference before has changed and writes the next one, so that it
    costs as much as both have entries; in each variable all count as many as the one with most.
    What the base had is kept and written back, bit by bit. A call of the model that still runs
    when a switch begins may see weights of both: wait for its result.

    >>> from flop_tf.files.diff_file import Diff
    >>> kernel = tf.Variable([1.0, 2.0, 3.0])
    >>> one = Diff("", {"k": [3]}, {"k": np.array([1])}, {"k": np.float32([0.5])}, {})
    >>> diffs = SwitchedDiffs({"k": kernel}, {"one": one})
    >>> diffs.switch("one")
    >>> kernel.numpy().tolist()
    [1.0, 2.5, 3.0]
    >>> diffs.switch(None)
    >>> kernel.numpy().tolist()
    [1.0, 2.0, 3.0]

    Attributes:
      current: name of the difference that the variables hold, None for the base.

    Args:
      variables: dict of `tf.Variable` by name; they hold the base.
      diffs: dict by name of `flop_tf.files.diff_file.Diff`, one or more.
    """

    def __init__(self, variables, diffs):
        self.current = None
        longest = {
            name: max(len(diff.positions.get(name, ())) for diff in diffs.values())
            for name in variables
        }
        longest = {name: number for name, number in longest.items() if number}
        self._move = _compiled(variables, longest)
        self._entries = {name: _entries(variables, diff, longest) for name, diff in diffs.items()}
        first = next(iter(self._entries.values()))
        self._move(first.of_base, first.of_base)  # Changes nothing: the first switch is as fast.

    def switch(self, name):
        """Changes to the difference of a name; None is the base.

        Args:
          name: text, of `diffs`, or None.

        Raises:
          ValueError: if there is none of that name.
        """
        if name is not None and name not in self._entries:
            raise ValueError(
                f"Argument `name` must be one of {list(self._entries)}, received {name!r}."
            )
        if name == self.current:
            return
        leaving = self._entries[name if self.current is None else self.current].of_base
        self._move(leaving, leaving if name is None else self._entries[name].changed)
        self.current = name


class _Entries(typing.NamedTuple):
    """What to write, pairs of positions and values: for the base, and for a difference."""

    of_base: tuple
    changed: tuple


def _entries(variables, diff, longest):
    """Returns the `_Entries` of a difference, for all variables one after the other."""
    nothing = np.empty(0, np.float32)
    positions, base, changed = [np.empty(0, np.int64)], [nothing], [nothing]
    for name, number in longest.items():
        # Of a difference with fewer entries the last one is repeated, which writes it twice.
        found, added = diff.positions[name], diff.values[name]
        if not len(found):
            # Not 0, which would make 0 of -0.
            found, added = np.zeros(1, np.int64), np.float32([-0.0])
        rows = np.minimum(np.arange(number), len(found) - 1)
        old = variables[name].numpy().reshape(-1)[found]
        positions.append(found[rows])
        base.append(old[rows])
        changed.append((old + added)[rows])
    where = tf.constant(np.concatenate(positions), tf.int32)
    return _Entries(*((where, tf.constant(np.concatenate(new))) for new in (base, changed)))


def _compiled(variables, longest):
    """Returns a function that writes one pair of positions and values, then another."""

    # Compiled: TensorFlow's own scatter asks its thread pool for each entry. This one writes into
    # the buffer of a variable, or of a copy where somebody else still reads that.
    @tf.function(jit_compile=True)
    def move(*entries):
        end = 0
        for name, number in longest.items():
            start, end = end, end + number
            flat = tf.reshape(variables[name], [-1])
            for positions, values in entries:
                where = positions[start:end, tf.newaxis]
                flat = tf.tensor_scatter_nd_update(flat, where, values[start:end])
            variables[name].assign(tf.reshape(flat, variables[name].shape))

    return move
