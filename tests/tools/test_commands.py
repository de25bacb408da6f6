import importlib.metadata
import pathlib

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


def test_every_program_is_a_console_command():
    programs = {
        f"flop-{path.stem.replace('_', '-')}": f"flop_tools.{path.stem}:run"
        for path in TOOLS.glob("*.py")
        if "\ndef run():" in path.read_text(encoding="utf-8")
    }
    commands = {
        entry.name: entry.value
        for entry in importlib.metadata.entry_points(group="console_scripts")
        if entry.name.startswith("flop-")
    }
    assert commands == programs
