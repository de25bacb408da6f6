"""Tickets and their runs as the programs leave them, read without any model."""

import json
import os

import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.tickets import ticket_file
from bert_tf.studies.masks import kept_units
from bert_tf.studies.tickets import (
    ticket_files,
    ticket_runs,
    ticket_scores,
    ticket_study,
    tickets_report,
)
from bert_tf.surgery import masks
from flop_tf import files

CONFIG = EncoderConfig(
    vocab_size=9,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
)
HEADS = {0: [[1, 0], [1, 1]], 1: [[1, 1], [0, 1]]}


class Folder:
    """Writes runs of flop-train-tickets."""

    def __init__(self, path, config=CONFIG):
        self.path, self.config = path, config

    def flags(self, name, **values):
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = {"output_dir": folder, **values}
        text = "".join(f"--{key}={value}\n" for key, value in lines.items())
        (folder / "run.flags").write_text(text)
        return folder

    def model(self, name, score=None, task="RTE", seed=0, **flags):
        folder = self.flags(name, seed=seed, init_checkpoint="/bert", **flags)
        info = {
            "stage": "compact" if "mask" in flags else "dense",
            "task": {"name": task},
            "data_dir": str(self.path / "nowhere"),
            "scores": {"dev": {"eval_accuracy": score}},
            "step": 9,
            "projections": [],
            **{"dense_sparsity": 0.0, "dense_origin_params": 9, "total_params": 9},
        }
        (folder / "info.json").write_text(json.dumps(info))
        (folder / "bert_config.json").write_text(json.dumps(self.config.to_dict()))
        if score is not None:
            (folder / "eval_results.txt").write_text("train_time = 1.0\n")

    def tickets(self, name, method, found, task="RTE", seed=0, model="dense"):
        """Writes tickets `{name: (kind, removed, heads)}`."""
        place = f"{task}/seed{seed}"
        dense = self.path / place / model
        folder = self.flags(f"{place}/{name}", min_heads=1, model_dir=dense, seed=7)
        about = {"task": {"name": task}, "model_dir": "/moved"}
        rows = [
            ticket_file.write(
                str(folder),
                ticket,
                kind,
                self.config,
                {f"blocks.{i}.heads": np.array(row, bool) for i, row in enumerate(heads)},
                removed,
                method,
            )
            for ticket, (kind, removed, heads) in found.items()
        ]
        files.write_json(
            str(folder / ticket_file.TICKETS_FILE), {"method": method, **about, "tickets": rows}
        )
        return folder

    def chain(self, task="RTE", seeds=(0, 1)):
        for seed in seeds:
            place, both = f"{task}/seed{seed}", {"task": task, "seed": seed}
            self.model(f"{place}/dense", 0.7 + seed / 10, **both)
            level = {"winning-1-0": ("winning", {"heads": 1, "ffn": 0}, HEADS[seed])}
            winning = self.tickets("tickets/super-1-0", "super", level, **both)
            mask = winning / ticket_file.mask_file("winning-1-0")
            self.model(f"{place}/retrained/super", 0.8, mask=mask, **both)
            self.model(f"{place}/pruned/super", 0.4, mask=mask, do_train="false", **both)
            good = {"good": ("good", {"heads": 1, "ffn": 0}, HEADS[seed])}
            mask = self.tickets("tickets/lottery", "lottery", good, **both)
            mask /= ticket_file.mask_file("good")
            self.model(f"{place}/retrained/lottery", 0.6, mask=mask, **both)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "runs")


def test_scores_of_runs(folder):
    folder.chain()
    folder.model("RTE/seed0/retrained/unfinished", mask="/elsewhere/masks/good.safetensors")
    folder.model("RTE/seed0/retrained/foreign", 0.9, mask="/elsewhere/masks/good.safetensors")
    folder.model("RTE/seed0/scored", 0.9, do_train="false")
    rows = ticket_runs.read(folder.path)
    assert len(rows) == 8 and {row["run"].split("/")[1] for row in rows} == {"seed0", "seed1"}
    retrained = next(row for row in rows if row["run"] == "RTE/seed1/retrained/super")
    assert 0.5 < retrained["share_kept"] < 1
    assert {name: value for name, value in retrained.items() if name != "share_kept"} == {
        **{"run": "RTE/seed1/retrained/super", "seed": 1, "task": "RTE", "score": 0.8},
        **{"metric": "eval_accuracy", "method": "super", "kind": "winning", "trained": True},
        **{"name": "winning-1-0", "level": "1-0"},
        "mask": "RTE/seed1/tickets/super-1-0/masks/winning-1-0.safetensors",
    }
    curves = ticket_scores.curves(ticket_scores.super_points(rows))
    assert {(row["kind"], row["level"]): round(row["mean"], 6) for row in curves} == {
        ("dense", None): 0.75,
        ("winning", "1-0"): 0.8,
        ("winning, pruned", "1-0"): 0.4,
    }


def test_a_ticket_that_was_trained_twice(folder):
    folder.chain()
    assert ticket_runs.read(folder.path, folder.path / "RTE") == ticket_runs.read(folder.path)
    mask = folder.path / "RTE/seed0/tickets/lottery" / ticket_file.mask_file("good")
    folder.model("RTE/seed0/again", 0.7, mask=mask, learning_rate=1e-4)
    with pytest.raises(ValueError, match="with a seed, but '.*/again' and '.*/retrained/lottery'"):
        ticket_runs.read(folder.path)


def test_runs_that_were_moved_together(folder):
    folder.chain()
    before = ticket_runs.read(folder.path)
    moved = folder.path.rename(folder.path.parent / "elsewhere")
    assert ticket_runs.read(moved) == before
    assert {ticket["seed"] for ticket in ticket_files.find([moved])} == {0, 1}


def test_the_report_and_the_super_ticket(folder):
    assert ticket_study.report_trained(folder.path) is None
    folder.chain()
    text = ticket_study.report_trained(folder.path)
    assert "## Super tickets" in text and "structured retrained" in text
    best = json.loads((folder.path / ticket_file.SUPER_FILE).read_text())["RTE"]
    assert best["kind"] == "winning" and best["level"] == "1-0"
    for seed, files_of in best["seeds"].items():
        place = f"RTE/seed{seed}"
        mask = f"{place}/tickets/super-1-0/masks/winning-1-0.safetensors"
        assert files_of == {"mask": mask, "model": f"{place}/retrained/super", "score": 0.8}
        assert (folder.path / mask).is_file()
    assert ticket_study.report_trained(folder.path) == text  # Its own tickets.json does not count.


def test_the_dense_model_may_be_the_best(folder):
    folder.chain(seeds=(0,))
    folder.model("RTE/seed0/dense", 0.9)
    ticket_study.report_trained(folder.path)
    best = json.loads((folder.path / ticket_file.SUPER_FILE).read_text())["RTE"]
    assert best["seeds"] == {"0": {"mask": None, "model": "RTE/seed0/dense", "score": 0.9}}
    assert best["kind"] == "dense" and best["level"] is None


def test_a_lucky_seed_alone_is_not_chosen(folder):
    folder.chain()
    level = {"winning-2-0": ("winning", {"heads": 2, "ffn": 0}, [[1, 0], [0, 1]])}
    mask = folder.tickets("tickets/super-2-0", "super", level)
    mask /= ticket_file.mask_file("winning-2-0")
    folder.model("RTE/seed0/retrained/lucky", 1.0, mask=mask)
    ticket_study.report_trained(folder.path)
    best = json.loads((folder.path / ticket_file.SUPER_FILE).read_text())["RTE"]
    assert best["level"] == "1-0"


def test_a_study_of_tasks_and_seeds(folder, tmp_path):
    for package in ("statsmodels", "krippendorff"):
        pytest.importorskip(package, reason="The extra `analysis` is not installed.")
    folder.chain("RTE")
    folder.chain("QQP")
    patterns = tmp_path / "patterns.json"
    patterns.write_text(json.dumps({"shares": {"RTE all": {"block": 0.25, "other": 0.75}}}))
    out = tmp_path / "out"
    text = ticket_study.study([str(folder.path)], str(out), patterns=[str(patterns)])
    for title in ("Agreement of seeds", "Overlap of tasks", "Size of the subnetworks", "Scores"):
        assert f"## {title}\n" in text
    assert "| RTE all" in text and (out / "figures/survival-over-tasks.png").is_file()
    # Heads 0 of the first layer and 1 of the second are in the masks of both seeds.
    (tickets,) = [ticket_files.read(str(out / task)) for task in ("RTE",)]
    names = ["super_good", "super_bad", "super_random-0", "super_random-1"]
    assert [ticket["name"] for ticket in tickets] == names
    assert [ticket["kind"] for ticket in tickets] == [*names[:2], "super_random", "super_random"]
    kept = [kept_units.unit_mask(t["file"], CONFIG) for t in tickets]
    assert kept[0]["heads"].tolist() == [[True, False], [False, True]]
    assert kept[1]["heads"].tolist() == [[False, True], [True, False]]
    assert {int(mask["heads"].sum()) for mask in kept} == {2}
    assert masks.load(tickets[1]["file"], CONFIG).provenance["task"] == {"name": "RTE"}


def test_selection(folder):
    folder.chain()
    tickets = ticket_files.find([folder.path])
    found = ticket_files.select(tickets, "super", "winning-1-0")
    assert list(found) == ["RTE"] and list(found["RTE"]) == [0, 1]
    with pytest.raises(ValueError, match=r"'bad' of the method 'lottery', received \['lottery: go"):
        ticket_files.select(tickets, "lottery", "bad")
    with pytest.raises(ValueError, match="'good' of RTE must be of different seeds, .* seed 0: "):
        ticket_files.select([*tickets, *tickets], "lottery", "good")


def test_a_mask_of_another_model(folder, tmp_path):
    folder.chain(seeds=(0,))
    wide = EncoderConfig(**{**CONFIG.to_dict(), "layers": (), "intermediate_size": 16})
    other = Folder(tmp_path / "other", wide)
    other.chain("QQP", seeds=(0,))
    with pytest.raises(ValueError, match="has masks of another model: expected the fingerprint"):
        ticket_study.study([str(folder.path), str(other.path)], str(tmp_path / "out"))


def test_masks_of_weights_are_refused(folder, tmp_path):
    path = str(tmp_path / "mask.safetensors")
    masks.save(path, CONFIG, {"blocks.0.query.kernel": np.ones([8, 8], bool)}, "magnitude: good")
    with pytest.raises(ValueError, match="one of heads and FFNs, received 'blocks.0.query.kernel'"):
        kept_units.unit_mask(path, CONFIG)


def test_what_cannot_be_studied(folder, tmp_path):
    with pytest.raises(ValueError, match="`folders` must name at least one folder, received none"):
        ticket_files.find([])
    with pytest.raises(ValueError, match="The folder of tickets 'nowhere' does not exist"):
        ticket_files.find(["nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="hold no tickets; name those of flop-find-tickets"):
        ticket_files.find([tmp_path / "empty"])
    folder.chain(seeds=(0,))
    (tmp_path / "patterns.json").write_text("[]")
    with pytest.raises(ValueError, match="must be a patterns.json of flop-attention-patterns"):
        ticket_study.study(
            [str(folder.path)], str(tmp_path / "out"), patterns=[str(tmp_path / "patterns.json")]
        )
    (folder.path / "RTE/seed0/dense/bert_config.json").unlink()
    with pytest.raises(ValueError, match="which is not there any more; put it back"):
        ticket_study.study([str(folder.path)], str(tmp_path / "out"))
    (folder.path / "RTE/seed0/tickets/lottery/tickets.json").write_text('{"tickets": 1}')
    with pytest.raises(ValueError, match=r"tickets.json' is damaged: .*; find the tickets anew"):
        ticket_files.find([folder.path])


LIST = "RTE/seed0/tickets/lottery"


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        (f"{LIST}/tickets.json", "{", "must be JSON: "),
        (f"{LIST}/tickets.json", "[]", "expected 'object', received 'array'"),
        (f"{LIST}/tickets.json", '{"tickets": [3]}', "' is damaged: expected "),
        (f"{LIST}/tickets.json", {"task": {"name": "../../x"}}, "expected 'str' matching regex "),
        (f"{LIST}/tickets.json", {"task": {"name": "/x"}}, "expected 'str' matching regex "),
        (f"{LIST}/tickets.json", {"method": ["lottery"]}, "expected 'str', received 'array'"),
        (f"{LIST}/tickets.json", {"share_of_parameters": 2.0}, "expected 'float' <= 1"),
        (f"{LIST}/tickets.json", {"removed": {"heads": -1}}, "expected 'int' >= 0"),
        (f"{LIST}/tickets.json", {"file": "/etc/passwd"}, "must name what lies in the folder "),
        (f"{LIST}/tickets.json", {"file": "masks/../../x"}, "must name what lies in the folder "),
        (f"{LIST}/masks/good.safetensors", "no mask", "good.safetensors'"),
        (f"{LIST}/run.flags", "--min_heads=1\n--seed=x\n", "must be a finite number, received 'x'"),
        ("RTE/seed0/dense/info.json", "{}", "expected the key 'stage'"),
        ("RTE/seed0/dense/run.flags", b"\xff", "must be UTF-8"),
        ("RTE/seed0/dense/bert_config.json", "[]", None),
    ],
)
def test_what_is_damaged_is_listed(folder, tmp_path, path, content, reason, monkeypatch):
    """And the rest is reported; here without figures."""
    pytest.importorskip("statsmodels", reason="The extra `analysis` is not installed.")
    monkeypatch.setattr(tickets_report, "_pictures", lambda report: ())
    folder.chain("RTE")
    folder.chain("QQP", seeds=(0,))
    place = folder.path / path
    if isinstance(content, dict):
        data = json.loads(place.read_text())
        for known in (data, *data["tickets"]):
            known.update({key: value for key, value in content.items() if key in known})
        content = json.dumps(data)
    place.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    text = ticket_study.study([str(folder.path)], str(out))
    assert "| QQP" in text and sorted(os.listdir(tmp_path)) == ["out", "runs"]
    report = json.loads((out / "tickets.json").read_text())
    if reason:
        assert any(reason in row["reason"] for row in report["damaged"]), report["damaged"]
        assert "## Damaged" in text
    assert ticket_study.report_trained(folder.path)


def test_a_study_of_damaged_tickets_alone(folder, tmp_path):
    folder.chain(seeds=(0,))
    for method in ("lottery", "super-1-0"):
        (folder.path / f"RTE/seed0/tickets/{method}/tickets.json").write_text('{"tickets": 1}')
    with pytest.raises(ValueError, match="tickets.json' is damaged: .*; find the tickets anew"):
        ticket_study.study([str(folder.path)], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_report_of_several_methods_needs_no_curve(folder, tmp_path):
    folder.chain(seeds=(0,))
    rows = [row for row in ticket_runs.read(folder.path) if row["method"] != "super"]
    report = tickets_report.gather({}, **ticket_study.scores(rows))
    text = tickets_report.write(report, str(tmp_path / "out"))
    assert "## Subnetworks" in text and not (tmp_path / "out/figures").exists()
