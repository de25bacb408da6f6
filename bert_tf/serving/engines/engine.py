"""What an engine is, and the registry of all of them."""

import dataclasses
import importlib.util
from collections.abc import Callable

from flop_tf.registry import Registry

#: `Engine` instances by name. A file of this folder registers its own ones.
ENGINES = Registry("engine", "bert_tf.serving.engines")


@dataclasses.dataclass(frozen=True)
class Engine:
    """A library that answers requests by an exported file.

    ```python
    def load(path, threads):
        import mine
        session = mine.open(path, threads)
        return lambda _, inputs: session.run(inputs)

    if __package__:
        from bert_tf.serving.engines.engine import ENGINES, Engine

        ENGINES.register("mine")(Engine("Mine", ("onnx",), load, packages=("mine",)))
    ```

    Args:
      title: its name in tables and errors.
      formats: names in `bert_tf.serving.formats.FORMATS` that it reads, a tuple; exports for the
        engine are written in the first one.
      load: function at the top of a file, `load(path, threads, **options)`, that returns a function
        `(signature, {name: array}) -> {name: array}`; texts are NumPy strings. A process that
        serves runs this file by itself, not as a part of the project, so that it needs no more
        than its own imports; both functions may raise anything.
      packages: names of the modules that it needs; default none.
      extra: the extra of this project that installs them.
    """

    title: str
    formats: tuple
    load: Callable
    packages: tuple = ()
    extra: str = "export"

    @property
    def is_installed(self):
        """Whether all of its packages are there."""
        return not self._missing

    def check(self):
        """Raises ValueError where a package is missing, which names the extra to install."""
        if self._missing:
            raise ValueError(
                f"{self.title} needs the package {self._missing[0]!r}, which is not installed; run "
                f"pip install 'flop-tf[{self.extra}]'."
            )

    @property
    def _missing(self):
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


def of_format(name):
    """Returns the name of the engine that reads a format: of several the first one at hand.

    Args:
      name: of the format.

    Raises:
      ValueError: if no engine reads it, or none of them is installed.
    """
    found = {one: engine for one, engine in ENGINES.items() if name in engine.formats}
    if not found:
        raise ValueError(
            f"The format {name!r} must be read by an engine, but none of {list(ENGINES)} does."
        )
    at_hand = [one for one, engine in found.items() if engine.is_installed]
    first = (at_hand or list(found))[0]
    found[first].check()
    return first
