"""The commands that the other kinds make bad ones of: they must do their work."""

from campaign.case import Case
from campaign.commands import COMMANDS, MODES, PROGRAMS, command

# What is read though the arguments do not name it.
_USES = {"analyze_tickets": ("dense",)}

# They start other programs or need the network.
_LONG = {"sweep", "train_tickets", "fetch_minilm"}


def cases():
    """Yields a case of each program and mode."""
    for name in sorted(COMMANDS.keys() - _LONG):
        uses = _USES.get(name, ())
        yield Case("valid", name, "as it is", command(name), is_valid=True, uses=uses)
    for name in MODES:
        yield Case("valid", PROGRAMS[name], name, command(name), is_valid=True)
