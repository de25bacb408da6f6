"""Flag files, `--flagfile=PATH`: a flag a line, comments, and the names of further flag files."""

import os

from flop_tf import files

_FLAGS = ("--flagfile", "-flagfile")


def expanded(words, above=()):
    """Returns the words of a command line, with the flags of its flag files in their place.

    absl's own reading waits for a FIFO, and goes on without a file that names itself. A relative
    path inside of a flag file is first looked for next to that file, so that files which include
    each other work from every working directory.

    Args:
      words: list, without the program's name.
      above: the flag files that these words stand in.

    Raises:
      ValueError: if a flag file is no readable text, or names itself.
    """
    found, words = [], iter(words)
    for word in words:
        name, equals, path = word.partition("=")
        if name not in _FLAGS:
            found.append(word)
        else:
            found += _flags_of(path if equals else next(words, ""), above)
    return found


def _flags_of(path, above):
    path = os.path.expanduser(path.strip())
    if not path:
        raise ValueError("Flag `--flagfile` must name a file, received nothing.")
    if above:
        next_to_it = os.path.join(os.path.dirname(above[-1]), path)
        path = next_to_it if os.path.exists(next_to_it) else path
    if os.path.realpath(path) in above:
        raise ValueError(f"The flag file {path!r} names itself by `--flagfile`; leave that out.")
    lines = map(str.strip, files.read_text(path, "flag file").splitlines())
    words = [line for line in lines if line and not line.startswith(("#", "//"))]
    return expanded(words, (*above, os.path.realpath(path)))
