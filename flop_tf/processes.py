"""Processes that end with the one that started them, however that one ends.

As a program this file runs another one so: `python -P processes.py PARENT PROGRAM [ARGUMENTS]`,
PROGRAM a file, or `-m` and a module. It imports nothing but Python's own modules, so that nothing
takes seconds before the process knows its parent.
"""

import ctypes
import os
import runpy
import signal
import sys


def command(*program):
    """Returns the command line of a Python program that ends with this process.

    Args:
      *program: a file, or "-m" and a module, and its arguments.
    """
    # -P: the folders of this file and of the caller are no places to import from.
    return [sys.executable, "-P", __file__, str(os.getpid()), *program]


def end_with_parent(parent):
    """Lets the kernel end this process together with the thread that started it, on Linux.

    Elsewhere nothing happens.

    Args:
      parent: number of the process that started this one; if it has ended, this one ends at once.
    """
    if sys.platform != "linux":
        return
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("The process that started this one has ended.")


def _main(parent, *program):
    end_with_parent(int(parent))
    if program[0] == "-m":
        sys.argv = list(program[1:])
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(program)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    _main(*sys.argv[1:])
