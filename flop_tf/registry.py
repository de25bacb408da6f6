"""Names for classes of one kind, open to all: a decorator next to the class is enough."""

import collections.abc
import contextlib
import difflib
import importlib
import pkgutil


class Registry:
    """Objects of one kind by name, in the order in which they were registered.

    >>> colours = Registry("colour")
    >>> @colours.register("red")
    ... class Red: ...
    >>> colours["red"].__name__, "blue" in colours
    ('Red', False)

    Args:
      kind: what is registered, for errors: "head".
      package: folder all of whose modules are imported before the first look, so that a new file
        is found without being named anywhere; None where nothing needs to be imported.
      plain: function of a name; names that it makes equal are the same, such as `str.lower`.
        Defaults to `str`.
    """

    def __init__(self, kind, package=None, plain=str):
        self.kind = kind
        self._package = package
        self._plain = plain
        self._found = {}

    def register(self, name):
        """Returns a decorator that registers a class, function or value under a name.

        Args:
          name: text.

        Returns:
          The decorator; it returns the object as it is.

        Raises:
          ValueError: if the name belongs to another object already.
        """

        def decorator(item):
            other = self._found.setdefault(name, item)
            if _identity(other) != _identity(item):
                raise ValueError(
                    f"The {self.kind} {name!r} is registered already, as {other!r}; choose another "
                    "name."
                )
            self._found[name] = item
            return item

        return decorator

    @contextlib.contextmanager
    def temporary(self, **items):
        """Forgets at the end of a `with` block what was registered in it.

        >>> colours = Registry("colour")
        >>> with colours.temporary(red=1):
        ...     _ = colours.register("blue")(2)
        ...     list(colours)
        ['red', 'blue']
        >>> list(colours)
        []

        Args:
          **items: objects by name to begin with; each replaces another one of its name.

        Yields:
          The registry.
        """
        before = self._all()
        self._found = {**before, **items}
        try:
            yield self
        finally:
            self._found = before

    def __getitem__(self, name):
        """Returns the object that is registered under a name.

        Raises:
          ValueError: if nothing is; it names the nearest.
        """
        return self._all()[self.canonical(name)]

    def canonical(self, name):
        """Returns a name as it was registered, however it is written.

        Args:
          name: text.

        Raises:
          ValueError: if nothing is registered under it; it names the nearest.
        """
        known = {self._plain(one): one for one in self._all()}
        plain = self._plain(name)
        if plain in known:
            return known[plain]
        hint = nearest(name, known.values())
        raise ValueError(
            f"Unknown {self.kind} {name!r}{hint} Expected one of {list(known.values())}."
        )

    def __contains__(self, name):
        return name in self._all()

    def __iter__(self):
        return iter(self._all())

    def items(self):
        """Returns the names with what is registered under them."""
        return self._all().items()

    def where(self, test):
        """Returns the `Names` of the objects that pass a test.

        Args:
          test: function of an object that returns a bool.
        """
        return Names(self, test)

    def name_of(self, item):
        """Returns the name under which an object is registered, or None.

        Args:
          item: any object.

        Returns:
          Its name, a text, or None.
        """
        return next((name for name, other in self._all().items() if other is item), None)

    def _all(self):
        if self._package is not None:
            package, self._package = self._package, None
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        return self._found


class Names(collections.abc.Collection):
    """The names in a registry whose objects pass a test, looked up anew at every use.

    So what is registered later counts too.

    >>> numbers = Registry("number")
    >>> [numbers.register(name)(value) for name, value in {"one": 1, "two": 2}.items()]
    [1, 2]
    >>> even = numbers.where(lambda number: number % 2 == 0)
    >>> list(even.after("none"))
    ['none', 'two']

    Args:
      registry: a `Registry`.
      test: function of an object that returns a bool.
      first: tuple of other texts that come before the names. Defaults to none.
    """

    def __init__(self, registry, test, first=()):
        self._registry, self._test, self._first = registry, test, first

    def after(self, *first):
        """Returns the same `Names` after some other texts, such as "none".

        Args:
          *first: the texts.
        """
        return Names(self._registry, self._test, first)

    def __iter__(self):
        yield from self._first
        yield from (name for name, item in self._registry.items() if self._test(item))

    def __contains__(self, name):
        return any(name == other for other in self)

    def __len__(self):
        return sum(1 for _ in self)


def _identity(item):
    """Returns a key that is equal for one class or function whose module was read twice."""
    name = getattr(item, "__qualname__", None)
    return id(item) if name is None else (item.__module__, name)


def nearest(name, known):
    """Returns how an error about an unknown name ends: with the nearest name that is known.

    >>> nearest("hardconcrete", ["fixed", "hard_concrete"])
    ", did you mean 'hard_concrete'?"

    Args:
      name: what was received; of anything but a text no name is near.
      known: the names that are known, strings.
    """
    by_spelling = {one.lower(): one for one in known if isinstance(name, str)}
    near = difflib.get_close_matches(str(name).lower(), by_spelling, n=1, cutoff=0.0)
    return f", did you mean {by_spelling[near[0]]!r}?" if near else "."
