import json
import os

import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.tickets import sharing
from bert_tf.surgery import masks, units
from flop_tf.files import mask_file

BASE = EncoderConfig(9, 768)
# The paper's choice: how many heads and FFNs each task removes of BERT-base.
CHOSEN = {
    "MNLI": (0, 0),
    "RTE": (14, 1),
    "QQP": (14, 1),
    "QNLI": (14, 1),
    "MRPC": (43, 3),
    "SST-2": (28, 2),
    "CoLA": (0, 0),
    "STS-B": (14, 1),
}


def mask_of(heads, blocks):
    grid = np.arange(144).reshape(12, 12) >= heads
    return units.by_path({"heads": grid, "ffn": np.arange(12) >= blocks})


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes a mask and returns its path."""

    def write(name, mask, config=BASE):
        path = str(tmp_path / f"{name}.mask")
        masks.save(path, config, mask, "super: winning", task={"name": name})
        return path

    return write


def tickets_dir(tmp_path, write, *kinds):
    folder = tmp_path / "tickets"
    folder.mkdir()
    found = [{"kind": kind, "file": f"{kind}.mask"} for kind in kinds]
    for kind in kinds:
        os.replace(write(kind, mask_of(1, 0)), folder / f"{kind}.mask")
    (folder / "tickets.json").write_text(json.dumps({"tickets": found}))
    return str(folder)


def test_the_tickets_of_the_paper(write, tmp_path):
    paths = {name: write(name, mask_of(*counts)) for name, counts in CHOSEN.items() if any(counts)}
    tickets = ",".join(f"{name}={paths.get(name, '')}" for name in CHOSEN)
    data = sharing.share(tickets, str(tmp_path / "out"))
    assert data["mean_removed"] == {"heads": 15, "ffn": 1}
    assert data["tasks"] == list(CHOSEN)
    assert data["removed"]["MRPC"] == {"heads": 43, "ffn": 3}
    assert data["removed"]["CoLA"] == {"heads": 0, "ffn": 0}
    assert json.loads((tmp_path / "out" / sharing.SHARED_FILE).read_text()) == data
    for name, counts in CHOSEN.items():
        saved = masks.load(str(tmp_path / "out" / data["masks"][name]), BASE)
        for path, one in mask_of(*counts).items():
            np.testing.assert_array_equal(saved.masks[path], one)
        assert saved.provenance["task"] == name
    assert saved.provenance["file"] == paths["STS-B"]
    assert saved.provenance["of"] == {"task": {"name": "STS-B"}}


def test_kinds_that_a_task_does_not_prune(write, tmp_path):
    heads = write("heads", {"blocks.0.heads": np.arange(12) > 2})
    ffn = write("ffn", {"blocks.3.ffn": np.array([False])})
    data = sharing.share(f"RTE={heads},QNLI={ffn}", str(tmp_path / "out"))
    assert data["removed"] == {"RTE": {"heads": 3, "ffn": 0}, "QNLI": {"heads": 0, "ffn": 1}}
    assert data["mean_removed"] == {"heads": 1, "ffn": 0}


def test_a_folder_with_one_winning_ticket(write, tmp_path):
    folder = tickets_dir(tmp_path, write, "winning", "losing")
    data = sharing.share(f"RTE={folder}", str(tmp_path / "out"))
    assert data["mean_removed"] == {"heads": 1, "ffn": 0}
    saved = mask_file.read(str(tmp_path / "out" / data["masks"]["RTE"]))
    assert saved.provenance["of"] == {"task": {"name": "winning"}}


@pytest.mark.parametrize(("mask", "expected"), [("best.mask", 5), (None, 0)])
def test_the_best_ticket_of_a_training(write, tmp_path, mask, expected):
    write("best", mask_of(5, 0)), write("worse", mask_of(7, 0))
    seeds = {"0": {"mask": "worse.mask", "score": 0.6}, "1": {"mask": mask, "score": 0.7}}
    (tmp_path / "super_ticket.json").write_text(json.dumps({"RTE": {"seeds": seeds}}))
    other = write("other", mask_of(2, 1))
    data = sharing.share(f"RTE={tmp_path},QQP={other}", str(tmp_path / "out"))
    assert data["removed"]["RTE"]["heads"] == expected


def test_tickets_that_do_not_fit(write, tmp_path):
    mask = write("one", mask_of(1, 0))
    other = write("other", mask_of(1, 0), EncoderConfig(10, 768))
    kernel = write("kernel", {"blocks.0.query.kernel": np.ones([768, 768], bool)})
    two = tickets_dir(tmp_path, write, "winning", "good", "losing")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tickets.json").write_text("{")
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "tickets.json").write_text('{"tickets": []}')
    (tmp_path / "super").mkdir()
    (tmp_path / "super" / "super_ticket.json").write_text('{"RTE": {}}')
    outside = {"winning": "../one", "absolute": mask}
    for name, file in outside.items():
        (tmp_path / name).mkdir()
        tickets = {"tickets": [{"kind": "winning", "file": file}]}
        (tmp_path / name / "tickets.json").write_text(json.dumps(tickets))
    (tmp_path / "out_of_it").mkdir()
    seeds = {"RTE": {"seeds": {"0": {"score": 0.5, "mask": "../one"}}}}
    (tmp_path / "out_of_it" / "super_ticket.json").write_text(json.dumps(seeds))
    for tickets, sentence in (
        (",", "`tickets` must name at least one task, as RTE=path, received ','"),
        ("RTE=,QQP=", "received the whole model for each of RTE, QQP; flop-finetune --tasks"),
        (mask, "`tickets` must be of parts TASK=path with commas between them, received"),
        (f"RTF={mask}", "Unknown task 'RTF', did you mean 'RTE'"),
        (f"RTE={mask},rte=", "`tickets` must name each task once, received 'RTE' in"),
        ("RTE=nowhere", "of the task 'RTE' must be a mask file, a folder of .*, received 'now"),
        (f"RTE={two}", "must have one winning ticket for the task 'RTE', received 2; name the"),
        (f"RTE={tmp_path / 'measured'}", "received 0; find one by flop-find-tickets."),
        (f"RTE={mask},QQP={other}", "must have masks of one model, received those of two: "),
        (f"RTE={kernel}", "must have masks of heads, neurons or FFNs, received blocks.0.query"),
        (
            f"RTE={tmp_path / 'broken'}",
            "The list of tickets '.*/tickets.json' must be JSON: .* anew",
        ),
        (f"RTE={tmp_path / 'super'}", "super_ticket.json' is damaged .* expected the key 'seeds'"),
        *(
            (f"RTE={tmp_path / name}", f"/{name}/tickets.json' must name what lies in the folder ")
            for name in outside
        ),
        (f"RTE={tmp_path / 'out_of_it'}", "super_ticket.json' must name what lies in the folder "),
        (f"QQP={tmp_path / 'out_of_it'}", "must have the super ticket of the task 'QQP', received"),
    ):
        with pytest.raises(ValueError, match=sentence):
            sharing.share(tickets, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
