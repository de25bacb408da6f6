import json
import shutil

from flop_tools import analyze_tickets, finetune

import pytest

from bert_tf.methods.tickets import finding
from bert_tf.methods.tickets.find_options import FindOptions
from bert_tf.studies.tickets import ticket_files


@pytest.fixture(scope="module")
def tickets_dirs(bert_dir, demo_dir, tmp_path_factory):
    """Good subnetworks of two seeds; the models are the same and say other seeds."""
    folder = tmp_path_factory.mktemp("lottery")
    for seed in (0, 1):
        model = folder / f"model{seed}"
        shutil.copytree(bert_dir, model)
        (model / "run.flags").write_text(f"--seed={seed}\n")
        # A model that knows nothing keeps its score without any unit; so its FFN stays.
        settings = {"task_name": "sst-2", "data_dir": demo_dir, "method": "lottery"}
        settings["units"] = "heads"
        output = str(folder / f"found{seed}")
        finding.find(FindOptions(model_dir=str(model), output_dir=output, **settings))
    return f"{folder}/found0,{folder}/found1"


def test_a_study(call, tickets_dirs, bert_dir, demo_dir, tmp_path, capsys):
    pytest.importorskip("statsmodels", reason="The extra `analysis` is not installed.")
    args = [f"--tickets_dirs={tickets_dirs}", f"--output_dir={tmp_path / 'out'}"]
    assert call(analyze_tickets, *args) is None
    assert "## Agreement of seeds" in capsys.readouterr().out
    report = json.loads((tmp_path / "out/tickets.json").read_text())
    assert [row["seeds"] for row in report["agreement"]] == [[0, 1]] * 2
    (good, *_) = ticket_files.read(str(tmp_path / "out/SST-2"))
    assert good["kind"] == "super_good"
    # Same command: all is written again.
    assert call(analyze_tickets, *args) is None
    # The masks of what seeds share are masks like any other.
    trained = [f"--output_dir={tmp_path / 'trained'}", f"--mask={good['file']}", "--nodo_train"]
    data = ["--task_name=sst-2", f"--data_dir={demo_dir}", "--max_seq_length=15"]
    assert call(finetune, *trained, *data, f"--init_checkpoint={bert_dir}") is None


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"tickets_dirs": ""},
            "Flag `--tickets_dirs` must be texts with commas between th",
        ),
        ({"tickets_dirs": "nowhere"}, "The folder of tickets 'nowhere' does not exist."),
        (
            {"ticket": "winning-1-0"},
            "There must be tickets 'winning-1-0' of the method 'lottery', received ['lottery: goo",
        ),
        ({"patterns": "nowhere.json"}, "The file of patterns 'nowhere.json' does not exist."),
    ],
)
def test_bad_input(call, tickets_dirs, tmp_path, changes, sentence):
    settings = {"tickets_dirs": tickets_dirs, "output_dir": tmp_path / "out", **changes}
    end = call(analyze_tickets, *(f"--{name}={value}" for name, value in settings.items()))
    assert end.startswith(f"analyze_tickets: error: {sentence}")
    assert not (tmp_path / "out").exists()
