"""Fields of options: each declares its help, what it may be, and where it belongs.

Options are frozen dataclasses, made of groups by multiple inheritance. A group is a frozen
dataclass of `option` fields; `Options` checks all of them, inherited ones too, and
`flop_tools.program` makes a flag of each.
"""

import dataclasses
import typing

from bert_tf import ranges
from flop_tf.registry import nearest

#: The kind of run that trains a whole model, see `Declared`.
FINE_TUNING = "fine-tuning"

_TYPES = {bool: "true or false", str: "a text"}


@dataclasses.dataclass(frozen=True)
class Declared:
    """The metadata of an option.

    Args:
      help: one line of help.
      choices: the allowed values, a tuple or the `Names` of a registry; None for any.
      allowed: the `bert_tf.ranges.Range` of a number, or of the numbers of a list; every number has
        one.
      list_of: `int`, `float` or `str` of a text that holds such with commas between them, or None.
      distinct: whether each of these may occur only once. Defaults to True.
      methods: tuple of the values of the option `method` that use this one; None for all.
      runs: kind of run that uses it, the `run_kind` of its options; None for all kinds.
      needs: name of another option without which this one says nothing, or None.
      in_data_dir: whether it names a file in `data_dir`. Defaults to False.
    """

    help: str
    choices: typing.Collection | None = None
    allowed: ranges.Range | None = None
    list_of: type | None = None
    distinct: bool = True
    methods: tuple | None = None
    runs: str | None = None
    needs: str | None = None
    in_data_dir: bool = False


class Options:
    """Base of the classes that are made of groups: it checks values, rules and places of options.

    A group's rules, over several of its options, are its method `check_rules`. A class may have the
    attribute `run_kind`, a noun for errors, and the option `method`, see `Declared`.

    Raises:
      ValueError: if an option is not as it is declared, belongs to something else or breaks a rule.
    """

    def __post_init__(self):
        check_values(self)
        for cls in reversed(type(self).__mro__):
            if "check_rules" in vars(cls):
                cls.check_rules(self)
        check_places(self)


def option(default, text, choices=None, allowed=None, **declared):
    """Returns a dataclass field of options.

    Args:
      default: its default; None may be passed where it is None.
      text: one line of help.
      choices: see `Declared`; so the rest.
      allowed: see above.
      **declared: see above.
    """
    metadata = vars(Declared(text, choices, allowed, **declared))
    return dataclasses.field(default=default, metadata=metadata)


def changed(group, name, default, text=None, **declared):
    """Returns a field of a group with another default, help or declaration.

    Args:
      group: dataclass of `option`.
      name: of its field.
      default: the new default.
      text: the new help; None keeps the old one.
      **declared: what else changes, see `Declared`.
    """
    (field,) = (field for field in dataclasses.fields(group) if field.name == name)
    metadata = {**field.metadata, **declared, "help": text or field.metadata["help"]}
    return dataclasses.field(default=default, metadata=metadata)


def unset(*groups):
    """Returns a group of the fields of others that are None where they are not given.

    It is for programs that read a model, which says these settings itself.

    Args:
      *groups: dataclasses of `option`.
    """
    fields = []
    for group in groups:
        for field in dataclasses.fields(group):
            text = field.metadata["help"]
            if field.default:
                text = f"{text.removesuffix('.')}; {field.default}."
            fields.append((field.name, field.type, changed(group, field.name, None, text)))
    return dataclasses.make_dataclass("Unset", fields, frozen=True, kw_only=True)


def names(cls):
    """Returns the names of the fields of options or of their class, a tuple."""
    return tuple(field.name for field in dataclasses.fields(cls))


def values_of(options, group):
    """Returns the values of the fields that options share with a group, by name.

    Args:
      options: dataclass of `option`.
      group: class of the same.
    """
    return {name: getattr(options, name) for name in names(group) if hasattr(options, name)}


def is_changed(options, field):
    """Returns whether an option has another value than its default.

    Args:
      options: dataclass of `option`.
      field: one of its `dataclasses.fields`.
    """
    return getattr(options, field.name) != field.default


def check_values(options):
    """Raises ValueError where an option is not as it is declared: type, choices, range, list.

    Args:
      options: dataclass of `option`.
    """
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):
        if getattr(options, field.name) is not None or field.default is not None:
            _check_value(options, field, hints[field.name])


def check_places(options):
    """Raises ValueError where an option was changed that its method or kind of run does not use.

    Args:
      options: dataclass of `option`.
    """
    for field in dataclasses.fields(options):
        if is_changed(options, field):
            _check_place(options, field)


def items(options, name):
    """Returns the list in an option that is a text with commas between its items.

    Args:
      options: dataclass of `option`.
      name: of an option with `list_of`.

    Raises:
      ValueError: if an item is no number of its range, or occurs twice.
    """
    (field,) = (field for field in dataclasses.fields(options) if field.name == name)
    value, declared = getattr(options, name), field.metadata
    if declared["list_of"] is str:
        return [item for item in map(str.strip, value.split(",")) if item]
    return ranges.parse_list(
        f"Argument `{name}`", value, declared["list_of"], declared["allowed"], declared["distinct"]
    )


def check(options, name, holds, expected):
    """Raises ValueError, which names an option and the expected value, where a condition fails.

    Args:
      options: dataclass of `option`.
      name: of the option.
      holds: the condition.
      expected: what the option must be, as in "at least 1".
    """
    if not holds:
        raise ValueError(
            f"Argument `{name}` must be {expected}, received {getattr(options, name)!r}."
        )


def check_needed(options, *needed):
    """Raises ValueError where a necessary option is empty.

    Args:
      options: dataclass of `option`.
      *needed: names of the necessary options, in the order in which they are reported.
    """
    for name in needed:
        if not getattr(options, name):
            raise ValueError(f"Argument `{name}` is needed, received nothing.")


def _check_value(options, field, kind):
    value, declared = getattr(options, field.name), field.metadata
    if declared["choices"] and value not in declared["choices"]:
        raise ValueError(
            f"Argument `{field.name}` must be one of "
            f"{', '.join(filter(None, declared['choices']))}, received {value!r}"
            f"{nearest(value, filter(None, declared['choices']))}"
        )
    if kind in (int, float):
        ranges.check(f"Argument `{field.name}`", value, kind, declared["allowed"])
    else:
        check(options, field.name, isinstance(value, kind), _TYPES.get(kind, "a text"))
    if declared["list_of"]:
        items(options, field.name)


def _check_place(options, field):
    """Raises ValueError where an option that was changed is not used."""
    declared, kind = field.metadata, getattr(options, "run_kind", None)
    if declared["runs"] not in (None, kind):
        raise ValueError(
            f"Argument `{field.name}` is not for {kind}, received "
            f"{getattr(options, field.name)!r}; leave it out."
        )
    if declared["needs"] and not getattr(options, declared["needs"]):
        check(options, field.name, False, f"left out without a `{declared['needs']}`")
    method = getattr(options, "method", None)
    if declared["methods"] is not None and method not in declared["methods"]:
        check(options, field.name, False, f"left out with method={method}")
