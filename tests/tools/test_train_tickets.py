"""Tickets of a tiny BERT, found and trained by the real programs, each in a process of its own."""

import json
import re
import subprocess

from flop_tools import train_tickets

import pytest
from programs import Program

from flop_tf.files import mask_file


class Forked:
    """Stands for `subprocess.Popen`: forks the program where TensorFlow is loaded already."""

    def __init__(self, command, stdout, **_):
        # `python -P processes.py PARENT -m module --flag ...`
        start = command.index("-m") + 1
        self.program, self.log = Program(command[start], *command[start + 1 :]), stdout

    def wait(self):
        code, text = self.program.wait()
        self.log.write(text.encode())
        return code

    def terminate(self):
        self.program.terminate()


@pytest.fixture
def train(call, bert_dir, demo_dir, tmp_path, monkeypatch):
    """Returns a function that starts the program; settings that are None are left out."""
    monkeypatch.setattr(subprocess, "Popen", Forked)

    def start(**changes):
        settings = {
            "task_name": "demo",
            "data_dir": demo_dir,
            "bert_dir": bert_dir,
            "output_dir": tmp_path / "out",
            "epochs": ".5",
            "finetune_flags": "--max_seq_length=15 --length_buckets=15",
            **changes,
        }
        given = [f"--{name}={value}" for name, value in settings.items() if value is not None]
        return call(train_tickets, *given)

    return start


def states(capsys):
    """The state of each run by name, as the console says it."""
    lines = re.findall(r"^\[.*?\] (\S+) +(\w+)", capsys.readouterr().out, re.M)
    return dict(lines)


def test_tickets_over_seeds_and_what_is_added(train, tmp_path, capsys):
    settings = {"percents": "50", "kinds": "winning", "seeds": "0,1"}
    settings["find_flags"] = "--max_steps=1 --threshold=.1"
    assert train(**settings) is None
    out, found = tmp_path / "out", states(capsys)
    names = ("dense", "tickets/super", "tickets/super-1-0", "retrained/super-winning-1-0")
    assert found == {f"SST-2/seed{seed}/{name}": "done" for seed in (0, 1) for name in names}
    report = json.loads((out / "tickets.json").read_text())
    assert {(row["kind"], row["level"]): row["seeds"] for row in report["curves"]} == {
        ("dense", None): [0, 1],
        ("winning", "1-0"): [0, 1],
    }
    assert report["curves"][1]["share_kept"] < 1 and set(report["baselines"]) == {"SST-2"}
    best = json.loads((out / "super_ticket.json").read_text())["SST-2"]
    assert set(best["seeds"]) == {"0", "1"} and best["metric"] == "eval_accuracy"
    # Half of the two heads of the one block; next to 50 % of the heads goes no FFN of one.
    path = out / "SST-2/seed1/tickets/super-1-0/masks/winning-1-0.safetensors"
    kept = {name: int(mask.sum()) for name, mask in mask_file.read(path).masks.items()}
    assert kept == {"blocks.0.heads": 1, "blocks.0.ffn": 1}

    # Another method and the scores without training, of one seed: nothing is made again.
    more = {"method": "super,magnitude", "kinds": "winning,good", "seeds": "0", "pruned": "true"}
    assert train(**{**settings, **more}) is None
    assert states(capsys) == {
        **{f"SST-2/seed0/{name}": "was" for name in names},
        **{
            f"SST-2/seed0/{name}": "done"
            for name in (
                *("pruned/super-winning-1-0", "tickets/magnitude"),
                *("retrained/magnitude-good", "pruned/magnitude-good"),
            )
        },
    }
    report = json.loads((out / "tickets.json").read_text())
    assert [row["seeds"] for row in report["curves"] if row["kind"] == "winning"] == [[0, 1]]
    assert {(row["kind"], row["method"], row["way"]) for row in report["subnetworks"]} == {
        ("dense", None, "retrained"),
        ("good", "magnitude", "pruned"),
        ("good", "magnitude", "retrained"),
    }
    assert "magnitude retrained" in (out / "tickets.html").read_text()


def test_a_failed_run_is_told(train, tmp_path, capsys):
    end = train(finetune_flags="--epoch=3", percents="50", kinds="winning")
    assert end.startswith(
        "train_tickets: error: 4 of 4 runs failed: SST-2/seed0/dense (finetune: error: Unknown "
        "command line flag 'epoch'"
    )
    assert not (tmp_path / "out/tickets.json").exists()


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"task_name": "RTF"}, "The task 'RTF' needs the flag file '"),
        ({"data_dir": "nowhere"}, "The folder `--data_dir=nowhere` of the task SST-2 does not exi"),
        ({"data_dir": None}, "The folder `--data_dir=` of the task SST-2 does not exist; name on"),
        ({"tfds": "glue/sst2"}, "Flags `--data_dir` and `--tfds` exclude each other; the folder "),
        ({"bert_dir": "nowhere"}, "The folder or checkpoint `--bert_dir=nowhere` does not exist."),
        (
            {"seeds": "one"},
            "Flag `--seeds` must be integers with commas between them, received '",
        ),
        ({"seeds": "1,1"}, "Flag `--seeds` must name each number once, received '1,1'."),
        ({"epochs": "0"}, "Flag `--epochs` must be above 0, received 0.0."),
        ({"percents": ""}, "Flag `--percents` must name a number, received nothing."),
        ({"percents": "5", "method": "lottery"}, "Flag `--percents` is of the method super, rec"),
        ({"method": "best"}, "Argument `method` must be one of super, lottery, magnitude, receiv"),
        ({"method": "lottery,lottery"}, "Argument `method` must name each one once, received ['"),
        ({"kinds": "good"}, "Argument `kinds` must name kinds of tickets, some of each method (s"),
        ({"percents": "50,20"}, "Argument `percents` must ascend within [0, 100], received [50.0"),
        ({"percents": "1"}, "Argument `percents` must have a level that removes a unit of the mo"),
        ({"find_flags": "--levels=3"}, "Flag `--find_flags` holds what is no flag there: Unknown"),
        ({"find_flags": "--units=rows"}, "Argument `units` must name some of heads, neurons, ffn"),
    ],
)
def test_bad_input_starts_nothing(train, tmp_path, changes, sentence):
    assert train(**changes).startswith(f"train_tickets: error: {sentence}")
    assert not (tmp_path / "out").exists()
