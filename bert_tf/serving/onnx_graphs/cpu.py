"""What the processor of this machine can do."""

import platform

_FILE = "/proc/cpuinfo"


def multiplies_bytes():
    """Returns whether the processor sums products of bytes in 32 bits; where unknown, True.

    x86-64 has the instructions VNNI or AMX for it, or neither. Other processors all have some.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        with open(_FILE, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        return True
    return "vnni" in text or "amx_int8" in text
