"""One bad input: a program, its command line, and what is done to its files before."""

import collections.abc
import dataclasses


def _nothing(folder):
    """Leaves the files as they are."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A bad input.

    Args:
      kind: what is bad: the module that makes the case.
      program: name of the module in `tools/`.
      what: which input it is, unique among those of its kind and program.
      args: command line, with paths relative to the case's folder. The fixtures that it names lie
        there as copies.
      names: regular expression of what the sentence must name: the flag or the file.
      prepare: function of the case's folder (`pathlib.Path`) that damages the copies.
      accepted: the reason for which the program may accept the input; None if it may not.
      uses: fixtures beyond those that `args` name.
      environment: variables to set.
      replaces: names of what an accepted command may replace.
      is_valid: whether it is no bad input, and must be done.
    """

    kind: str
    program: str
    what: str
    args: tuple
    names: str = ""
    prepare: collections.abc.Callable = _nothing
    accepted: str | None = None
    uses: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)
    replaces: tuple = ()
    is_valid: bool = False

    @property
    def name(self):
        """By what `--only` finds it."""
        return f"{self.kind}/{self.program}/{self.what}"
