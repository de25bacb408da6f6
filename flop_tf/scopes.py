"""Values that hold in a `with` block, for what is traced or run inside of it."""

import contextlib
import threading


class Scope(threading.local):
    """A value of each thread that a `with` block sets and puts back.

    >>> scope = Scope()
    >>> with scope(3):
    ...     scope.current
    3
    >>> scope.current is None
    True
    """

    current = None

    @contextlib.contextmanager
    def __call__(self, value):
        """Sets the value for the time of a `with` block.

        Args:
          value: anything; outside of all blocks it is None.
        """
        previous, self.current = self.current, value
        try:
            yield
        finally:
            self.current = previous
