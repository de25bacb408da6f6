"""The campaign of `bad_inputs.py` is run by hand; a few of its cases keep it from rotting."""

import bad_inputs
import pytest
from campaign import monitor
from campaign.case import Case
from campaign.commands import command
from campaign.fixtures import Fixtures

FEW = (
    r"^valid/make_mask/as it is$",
    r"^flags/finetune/learning_rate=nan$",
    r"^flags/make_mask/word$",
    r"^paths/make_mask/make_mask checkpoint=",
    r"^json_files/make_mask/.* half$",
    r"^planted_code/make_mask/.*google",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("campaign")


def test_a_few_cases(folder):
    selected = bad_inputs.cases("|".join(FEW))
    results = list(bad_inputs.run(selected, folder, jobs=2))
    assert len(results) >= len(FEW)
    assert not [(result.case.name, result.violations) for result in results if result.violations]
    assert "| make_mask" in bad_inputs.table(results)


def test_names_are_unique_and_many():
    assert len(bad_inputs.cases()) >= 400


@pytest.mark.parametrize(
    "changes, sort",
    [
        ({}, "not refused"),
        ({"output": "mask.safetensors", "overwrite": True}, "lost"),
        ({"sparsity": 2}, "no subject"),
    ],
)
def test_the_monitor_sees(folder, changes, sort):
    """A command that does its work, one that replaces a mask, a sentence on another argument."""
    case = Case("flags", "make_mask", "as it is", command("make_mask", **changes), "no_such_flag")
    assert sort in monitor.run(case, Fixtures(folder / "fixtures"), folder).violations
