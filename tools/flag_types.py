"""Flags that check their values: numbers in a range, lists of numbers or names."""

from absl import flags

from bert_tf import ranges

FLAGS = flags.FLAGS


def define_number(
    name, default, text, allowed, kind=int, flag_values=FLAGS, subject="Flag `--{}`", **others
):
    """Defines a flag with a number as its value.

    Args:
      name: of the flag.
      default: its default; None is none.
      text: one line of help.
      allowed: the `bert_tf.ranges.Range`.
      kind: `int` or `float`.
      flag_values: where it is defined.
      subject: with which an error begins.
      **others: of absl, such as `required`.
    """
    parser = _Number(subject.format(name), kind, allowed)
    flags.DEFINE(
        parser, name, default, text, flag_values, flags.ArgumentSerializer(), None, **others
    )


def define_numbers(name, default, text, allowed, kind=int, distinct=True):
    """Defines a flag with a list of numbers as its value, with commas between them.

    Args:
      name: see `define_number`; so `text`, `allowed` and `kind`.
      default: list; an empty one is none.
      text: see above.
      allowed: see above.
      kind: see above.
      distinct: whether a number may occur only once.
    """
    parser = _Numbers(f"Flag `--{name}`", kind, allowed, distinct)
    flags.DEFINE(parser, name, default, text, FLAGS, flags.CsvListSerializer(","))


def define_names(name, default, text, distinct=True, choices=None, **others):
    """Defines a flag with a list of texts as its value, with commas between them.

    Args:
      name: see `define_number`; so `text` and `others`.
      default: list; an empty one is none.
      text: see above.
      distinct: whether a text may occur only once.
      choices: the allowed ones.
      **others: see above.
    """
    parser = _Names(f"Flag `--{name}`", distinct, choices)
    flags.DEFINE(parser, name, default, text, FLAGS, flags.CsvListSerializer(","), None, **others)


class _Number(flags.ArgumentParser):
    """Parses a number; absl's own takes digits of other scripts and 1_000."""

    def __init__(self, subject, kind, allowed):
        self._given = subject, kind, allowed
        self.syntactic_help = f"a number: {allowed}"

    def flag_type(self):
        return self._given[1].__name__

    def parse(self, argument):
        subject, kind, allowed = self._given
        if isinstance(argument, str):
            return _refused(ranges.parse, subject, argument, kind, allowed)
        _refused(ranges.check, subject, argument, kind, allowed)
        return kind(argument)


class _Numbers(flags.BaseListParser):
    def __init__(self, subject, kind, allowed, distinct):
        super().__init__(",", "numbers")
        self._given = subject, kind, allowed, distinct

    def parse(self, argument):
        if isinstance(argument, list):  # The default.
            return argument
        subject, *_ = self._given
        if not argument.strip():
            raise flags.IllegalFlagValueError(f"{subject} must name a number, received nothing.")
        return _refused(ranges.parse_list, subject, argument, *self._given[1:])


class _Names(flags.ListParser):
    def __init__(self, subject, distinct, choices):
        super().__init__()
        self._given = subject, distinct, choices

    def parse(self, argument):
        names = super().parse(argument)
        if argument is None or isinstance(argument, list):
            return names
        subject, distinct, choices = self._given
        expected = None
        if not names or "" in names:
            expected = "be texts with commas between them"
        elif choices and not set(names) <= set(choices):
            expected = f"name some of {', '.join(choices)}"
        elif distinct and len(set(names)) < len(names):
            expected = "name each one once"
        if expected:
            raise flags.IllegalFlagValueError(f"{subject} must {expected}, received {argument!r}.")
        return names


def _refused(check, *args):
    """Returns the result of a check; absl would add to the sentence of a ValueError."""
    try:
        return check(*args)
    except ValueError as error:
        raise flags.IllegalFlagValueError(str(error)) from error
