"""The scripts that make the runs of docs/results.md; the runs themselves take hours."""

import pathlib
import re
import subprocess

import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(params=sorted(TOOLS.glob("*_results.sh")), ids=lambda path: path.name)
def script(request):
    return request.param


def test_without_its_folders_it_ends_in_a_sentence(script, tmp_path):
    done = subprocess.run([script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    sentence = r"{}: error: \w+ folders are needed, received 0; see the head of this file\.\n"
    assert re.fullmatch(sentence.format(script.name), done.stderr)
