"""Ways to damage a file: as a whole, by its bytes, or a value of its JSON.

A way is a function of the path. Each is named by what the file is afterwards.
"""

import copy
import json
import os
import shutil

_DEEP = 100_000


def _bytes(change):
    def damage(path):
        path.write_bytes(change(path.read_bytes()))

    return damage


def _instead(make):
    def damage(path):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return damage


#: What no reader takes, whatever the file holds.
WHOLE = {
    "empty": _bytes(lambda data: b""),
    "half": _bytes(lambda data: data[: len(data) // 2]),
    "a pipe": _instead(os.mkfifo),
    "a folder": _instead(os.mkdir),
    "a loop": _instead(lambda path: os.symlink(path.name, path)),
    "endless": _instead(lambda path: os.symlink("/dev/zero", path)),
    "random": _bytes(lambda data: bytes((i * i * 31 + i) % 251 for i in range(4096))),
}

#: What no reader of JSON objects takes.
JSON = {
    **WHOLE,
    "no JSON": _bytes(lambda data: b"{'a': 1}"),
    "no UTF-8": _bytes(lambda data: data.replace(b'"', b'"\xff', 1)),
    "deep": _bytes(lambda data: b"[" * _DEEP),
    "deep and closed": _bytes(lambda data: b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
    "a list": _bytes(lambda data: b"[]"),
    "a number": _bytes(lambda data: b"1"),
    "null": _bytes(lambda data: b"null"),
    "a text": _bytes(lambda data: b'"a"'),
    "NaN": _bytes(lambda data: b"NaN"),
    "double": _bytes(lambda data: data + data),
}

#: What readers of JSON take: editors write it.
with_bom = _bytes(lambda data: b"\xef\xbb\xbf" + data)

# Python's writer of JSON does not write these: a text stands for each until it is written.
_RAW = {
    "infinity": "1e999",
    "NaN": "NaN",
    "deep": "[" * _DEEP + "]" * _DEEP,
    "many digits": "9" * 5000,
}

#: Values that no file may have anywhere.
NEVER = frozenset(_RAW)

#: Values of keys, by name.
VALUES = {
    "null": None,
    "a text": "x",
    "a list": [],
    "an object": {},
    "-1": -1,
    "1.5": 1.5,
    "1e12": 10**12,
    "true": True,
    **{name: f"@{name}@" for name in _RAW},
}

# Values that a reader may well take where one of the type stood.
_LIKE = {
    str: {"a text"},
    list: {"a list"},
    dict: {"an object"},
    float: {"1.5", "1e12", "-1"},
    int: set(),
    bool: {"true"},
    type(None): set(VALUES) - {*_RAW},
}


def keys(data, first=()):
    """Yields the keys of parsed JSON and of what is in it, tuples; of a list those of its first."""
    items = data.items() if isinstance(data, dict) else enumerate(data[:1])
    for key, value in items:
        yield (*first, key)
        if isinstance(value, dict | list):
            yield from keys(value, (*first, key))


def dotted(key):
    """Returns a key as a text, such as "layers.num_heads"; positions of lists are left out."""
    return ".".join(part for part in key if isinstance(part, str))


def at(data, key):
    """Returns the value under a key of `keys`."""
    for part in key:
        data = data[part]
    return data


def fits(value, name):
    """Returns whether the value `name` of `VALUES` may be as good as a value."""
    return name in _LIKE.get(type(value), ())


def with_value(data, key, name):
    """Returns parsed JSON as bytes, with a value of `VALUES` under a key; "missing" removes it."""
    data = copy.deepcopy(data)
    inner = at(data, key[:-1])
    if name == "missing":
        del inner[key[-1]]
    else:
        inner[key[-1]] = VALUES[name]
    text = json.dumps(data)
    for raw, written in _RAW.items():
        text = text.replace(json.dumps(f"@{raw}@"), written)
    return text.encode()
