"""Several differences on one loaded base: a switch writes only the entries that differ."""

import numpy as np
import tensorflow as tf


class SwitchedDiffs:
    """Lets variables hold a base with one of several differences, or the base itself.

    A switch puts back what the difference before has changed and writes the next one, so that it
    costs as much as both have entries. What the base had is kept and written back, bit by bit.

    Attributes:
      current: name of the difference that the variables hold, None for the base.

    Args:
      variables: dict of `tf.Variable` by name; they hold the base.
      diffs: dict by name of `flop_tf.diff_file.Diff`.
    """

    def __init__(self, variables, diffs):
        self.current = None
        self._writers = {name: _writers(variables, diff) for name, diff in diffs.items()}

    def switch(self, name):
        """Changes to the difference of a name; None is the base.

        Raises:
          ValueError: if there is none of that name.
        """
        if name is not None and name not in self._writers:
            raise ValueError(
                f"Argument `name` must be one of {list(self._writers)}, received {name!r}."
            )
        if name == self.current:
            return
        if self.current is not None:
            self._writers[self.current][0]()
        self.current = None  # What is half written is told as neither.
        if name is not None:
            self._writers[name][1]()
        self.current = name


def _writers(variables, diff):
    """Returns two functions: one writes the base's entries, one those with the difference."""
    written, indices, base, changed = [], [], [], []
    for name, positions in diff.positions.items():
        if not len(positions):
            continue
        variable = variables[name]
        old = variable.numpy().reshape(-1)[positions]
        written.append(variable)
        indices.append(tf.constant(np.stack(np.unravel_index(positions, variable.shape), axis=-1)))
        base.append(tf.constant(old))
        changed.append(tf.constant(old + diff.values[name]))

    def writer(values):
        @tf.function
        def write():
            for variable, where, new in zip(written, indices, values, strict=True):
                variable.scatter_nd_update(where, new)
                # Otherwise every later use of the variable copies all of it.
                tf.raw_ops.DisableCopyOnRead(resource=variable.handle)

        return write

    return writer(base), writer(changed)
