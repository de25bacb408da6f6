import json
import re

import numpy as np
import pytest

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.methods.tickets import finding, one_shot, searches, ticket_file
from bert_tf.methods.tickets.find_options import FindOptions, flags_of
from bert_tf.models import model_info
from bert_tf.models.bert import BertModel
from bert_tf.surgery import masks
from bert_tf.tasks import registry
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.backend import keras

CONFIG = EncoderConfig(
    vocab_size=22,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
    max_position_embeddings=16,
    initializer_range=0.3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vocab_file, sst_dir):
    """A model directory that says its task."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("dense")
    task = registry.get("sst-2", data_dir=sst_dir)
    about = {"task": task.to_dict(), "data_dir": sst_dir, "max_seq_length": 11}
    model_dir.save(path, BertModel(CONFIG), Tokenizer(vocab_file), **about)
    return str(path)


@pytest.fixture
def find(folder, tmp_path):
    def run(**changes):
        changes = {"output_dir": str(tmp_path / "out"), **changes}
        return finding.find(FindOptions(model_dir=folder, **changes))

    return run


def mask_of(tmp_path, ticket):
    return masks.load(str(tmp_path / "out" / ticket["file"]), CONFIG)


def test_winning_losing_and_random_tickets(find, tmp_path):
    found = find(percents="25,50")
    assert found["task"]["name"] == "SST-2" and found["split"] == "train"
    assert [t["name"] for t in found["tickets"]] == [
        f"{kind}-{level}"
        for level in ("2-0", "4-0")
        for kind in ("winning", "losing", "random", "random_by_layer")
    ]
    with open(tmp_path / "out" / one_shot.IMPORTANCE_FILE, encoding="utf-8") as file:
        about = json.load(file)
    assert about["reducer"] == "token" and about["examples"] == 203
    heads_of = {}
    for ticket in found["tickets"]:
        saved = mask_of(tmp_path, ticket)
        grid = np.stack([saved.masks[f"blocks.{i}.heads"] for i in range(2)])
        assert (~grid).sum() == ticket["removed"]["heads"]
        assert grid.sum(axis=1).min() >= 1
        heads_of[ticket["name"]] = grid
        source = masks.apply(read_source(str(found["model_dir"])), saved.masks)
        assert model_info.num_parameters(source.config) == ticket["parameters"]
    assert (heads_of["winning-4-0"] <= heads_of["winning-2-0"]).all()
    importance = np.stack([about["importance"][f"blocks.{i}.heads"] for i in range(2)])
    assert importance[heads_of["losing-2-0"]].mean() < importance[heads_of["winning-2-0"]].mean()
    assert (tmp_path / "out" / ticket_file.TICKETS_FILE).is_file()


def test_the_importance_is_measured_once(find, tmp_path):
    first = find(percents="25")
    path = tmp_path / "out" / one_shot.IMPORTANCE_FILE
    before = path.stat().st_mtime_ns
    assert find(percents="25") == first
    assert path.stat().st_mtime_ns == before


def test_levels_from_importances_that_are_measured_already(find, tmp_path):
    path = str(tmp_path / "out" / one_shot.IMPORTANCE_FILE)
    measured = find(percents="", split="dev", reducer="batch")
    assert measured["tickets"] == []  # Measured, and nothing looked for.
    level = find(percents="25", importance=path, output_dir=str(tmp_path / "level"))
    saved = masks.load(str(tmp_path / "level" / level["tickets"][0]["file"]), CONFIG)
    for about in (measured, level, saved.provenance):
        assert (about["split"], about["examples"], about["reducer"]) == ("dev", 67, "batch")
    assert not (tmp_path / "level" / one_shot.IMPORTANCE_FILE).exists()
    sentence = "must have importances of neurons, received heads, ffn; measure neurons too."
    with pytest.raises(ValueError, match=sentence):
        find(units="neurons", importance=path, output_dir=str(tmp_path / "neurons"))


def test_importances_are_of_the_examples_that_the_training_had(find, tmp_path):
    path = tmp_path / "out" / one_shot.IMPORTANCE_FILE
    found = []
    for changes in ({}, {"holdout_examples": 100}, {"train_subset": 20, "train_examples": 7}):
        assert find(percents="", **changes)["split"] == "train"
        found.append(json.loads(path.read_text()))
        path.unlink()
    assert [one["examples"] for one in found] == [203, 103, 7]
    assert found[0]["importance"] != found[1]["importance"]
    # Other splits have nothing of that.
    assert find(percents="", split="dev", train_examples=1)["examples"] > 1


def test_the_flags_of_a_method():
    given = ("--threshold=.8", "--percents=5", "--units=heads", "--max_steps=2", "--seed=3")
    assert flags_of("super", given) == ("--percents=5", "--units=heads", "--seed=3")
    assert flags_of("lottery", given) == ("--threshold=.8", "--units=heads", "--seed=3")
    assert flags_of("magnitude", given) == ("--threshold=.8", "--max_steps=2", "--seed=3")
    # What no method knows is left to the parser of flags.
    assert flags_of("super", ("--levels=3",)) == ("--levels=3",)


def test_the_names_of_tickets_are_known_before(find):
    options = FindOptions(model_dir=".", output_dir=".", percents="25,50")
    (first, second) = one_shot.level_counts(options, CONFIG)
    names = [one_shot.ticket_name(kind, first) for kind in one_shot.KINDS]
    assert [t["name"] for t in find(percents="25")["tickets"]] == names
    assert one_shot.level_name(second) == "4-0"


@pytest.mark.parametrize(
    "changes, names",
    [
        ({"units": "heads", "percents": "1,2,25,75,80"}, ["0", "2", "6"]),
        ({"units": "neurons", "percents": "99,100"}, ["47", "48"]),
        ({"head_counts": "1,1", "ffn_counts": "1,1"}, ["1-1"]),
    ],
)
def test_a_level_is_there_once(changes, names):
    options = FindOptions(model_dir=".", output_dir=".", **changes)
    assert list(map(one_shot.level_name, one_shot.level_counts(options, CONFIG))) == names


def test_neurons_and_counts(find, tmp_path):
    (winning, *_) = find(units="neurons", percents="50")["tickets"]
    assert winning["removed"] == {"neurons": 24}
    saved = mask_of(tmp_path, winning)
    assert sum(one.sum() for one in saved.masks.values()) == 24
    for path in (tmp_path / "out").iterdir():
        if path.is_file():
            path.unlink()
    (winning, *_) = find(units="neurons", neuron_counts="5")["tickets"]
    assert winning["removed"] == {"neurons": 5}
    (tmp_path / "out" / one_shot.IMPORTANCE_FILE).unlink()
    tickets = find(head_counts="1,3", ffn_counts="0,2")["tickets"]
    assert [t["removed"] for t in tickets if t["kind"] == "winning"] == [
        {"heads": 1, "ffn": 0},
        {"heads": 3, "ffn": 2},
    ]


@pytest.mark.parametrize("kinds", ["heads,ffn", "heads", "ffn"])
def test_the_lottery_keeps_the_score(find, folder, sst_dir, tmp_path, kinds):
    tickets = find(method="lottery", units=kinds, threshold=0.8, amount=0.25)["tickets"]
    assert tuple(t["kind"] for t in tickets) == searches.LOTTERY_KINDS
    with open(tmp_path / "out" / searches.STEPS_FILE, encoding="utf-8") as file:
        steps = json.load(file)
    last = [step for step in steps if step["passed"]][-1]
    assert last["score"] >= 0.8 * steps[0]["score"]
    good = mask_of(tmp_path, tickets[0]).masks
    assert sorted({path.split(".")[-1] for path in good}) == sorted(kinds.split(","))
    sizes = [sum(one.sum() for one in mask_of(tmp_path, t).masks.values()) for t in tickets[:3]]
    assert len(set(sizes)) == 1


def test_a_floor_of_the_weights_that_stay(find, tmp_path):
    find(method="magnitude", threshold=0.01, amount=0.3, min_kept=0.8)
    steps = json.loads((tmp_path / "out" / searches.STEPS_FILE).read_text())
    assert [step["num_kept"] for step in steps] == [3584, 2867]


def test_a_search_may_end_with_nothing(find, caplog):
    good, *_ = find(method="lottery", threshold=0.01, amount=1)["tickets"]
    assert good["removed"] == {"heads": 8, "ffn": 2}
    assert "left no head and no FFN: eval_accuracy stayed at 0.01 of the whole" in caplog.text


def test_a_search_that_was_stopped_goes_on(find, tmp_path, monkeypatch):
    whole = find(method="lottery", threshold=0.8, amount=0.25)
    steps = (tmp_path / "out" / searches.STEPS_FILE).read_text()
    record = json.loads(steps)
    (tmp_path / "out" / searches.STEPS_FILE).write_text(json.dumps(record[:2]))
    assert find(method="lottery", threshold=0.8, amount=0.25) == whole
    assert json.loads((tmp_path / "out" / searches.STEPS_FILE).read_text()) == record


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda steps: steps.clear() or steps.append(3), "expected 'object', received 'int'"),
        (lambda steps: steps[0].pop("score"), "expected the key 'score' at '[0]'"),
        (lambda steps: steps[1].update(score=float("nan")), "NaN is no number"),
        (lambda steps: steps[1].update(passed="yes"), "expected 'bool', received 'str'"),
        (lambda steps: steps[1].update(phase=-1), "expected 'int' >= 0"),
        (lambda steps: steps[1]["heads"].pop(), "of length >= 2"),
        (lambda steps: steps[1]["heads"][0].pop(), "of length >= 4"),
        (lambda steps: steps[1].update(blocks={}), "expected 'array', received 'object'"),
        (lambda steps: steps[0].update(passed=False), "must begin with the whole model, which"),
    ],
)
def test_a_record_that_was_damaged(find, tmp_path, change, reason):
    settings = {"method": "lottery", "threshold": 0.8, "amount": 0.25}
    path = tmp_path / "out" / searches.STEPS_FILE
    find(**settings)
    steps = json.loads(path.read_text())
    change(steps)
    path.write_text(json.dumps(steps))
    sentence = (
        f"The record of a search '{path}' .*{re.escape(reason)}.*; delete it, then the search"
    )
    with pytest.raises(ValueError, match=sentence):
        find(**settings)
    assert path.read_text() == json.dumps(steps)


def test_a_record_of_another_method(find, tmp_path):
    find(method="lottery", threshold=0.8, amount=0.25)
    with pytest.raises(ValueError, match="expected the key 'num_kept' at"):
        find(method="magnitude", threshold=0.8, amount=0.3)


def test_magnitude_masks_are_of_one_size(find, tmp_path):
    tickets = find(method="magnitude", amount=0.3, max_steps=2, threshold=0.1)["tickets"]
    assert tuple(t["kind"] for t in tickets) == searches.MAGNITUDE_KINDS
    loaded = [mask_of(tmp_path, t).masks for t in tickets]
    kept = [sum(one.sum() for one in masks_.values()) for masks_ in loaded]
    total = sum(i * o for *_, (i, o) in CONFIG.projections())
    assert len(set(kept)) == 1 and kept[0] == total - tickets[0]["removed"]["weights"]
    assert kept[0] / total == pytest.approx(0.49, abs=0.01)
    dense = model_info.num_parameters(CONFIG)
    assert tickets[0]["parameters"] == dense - tickets[0]["removed"]["weights"]


def test_magnitude_of_some_projections(find, tmp_path):
    (good, *_) = find(
        method="magnitude", include="query,ffn_in", max_steps=1, of_total=True, threshold=0.1
    )["tickets"]
    names = {path.split(".")[-2] for path in mask_of(tmp_path, good).masks}
    assert names == {"query", "ffn_in"}


def test_pruned_models_are_refused(tmp_path, folder, vocab_file):
    source = masks.apply(read_source(folder), {"blocks.0.heads": np.array([1, 1, 1, 0], bool)})
    pruned = str(tmp_path / "pruned")
    model_dir.save(pruned, source.model(), Tokenizer(vocab_file))
    with pytest.raises(ValueError, match="found in dense models, but the one in .* is compact"):
        finding.find(FindOptions(model_dir=pruned, output_dir=str(tmp_path / "out")))


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"method": "best"}, "`method` must be one of super, lottery, magnitude, received 'best'"),
        ({"units": "rows"}, "`units` must name some of heads, neurons, ffn, received 'rows'"),
        ({"units": ""}, "`units` must name some of"),
        ({"units": "heads,neurons"}, "`units` must name neurons alone, .* and the method super"),
        ({"include": "pooler"}, r"`include` must name some of query.* received \['pooler'\]"),
        ({"min_kept": 1.5}, r"`min_kept` must be in \[0, 1\], received 1.5"),
        ({"train_examples": -1}, "`train_examples` must be at least 0, received -1"),
        ({"threshold": 0.8}, "`threshold` must be left out with method=super, received 0.8"),
        ({"method": "lottery", "percents": "9"}, "`percents` must be left out with method=lotte"),
        ({"method": "magnitude", "units": "heads"}, "`units` must be left out with method=magn"),
        ({"batch_size": 0}, "`batch_size` must be at least 1, received 0"),
        ({"percents": "10,x"}, "`percents` must be numbers with commas .* received '10,x'"),
        ({"percents": "50,20"}, "`percents` must ascend within"),
        ({"head_counts": "1,2", "ffn_counts": "1"}, "must have one number for each level"),
        ({"head_counts": "7", "ffn_counts": "0"}, r"`head_counts` must be in \[0, 6\]"),
        (
            {"head_counts": "8", "ffn_counts": "2", "min_heads": 0},
            "A level must leave a head or an FFN of the model, received 8-2, all of them",
        ),
        ({"method": "lottery", "threshold": 0.0}, r"`threshold` must be in \(0, 1\], received 0"),
        ({"task_name": "RTE"}, "needs the columns .'sentence1'"),
        ({"task_name": "mlm"}, "a task with labels, received the task 'mlm'; train_mask.py finds"),
        ({"model_dir": ""}, "`model_dir` is needed"),
    ],
)
def test_refusals(find, folder, tmp_path, changes, text):
    with pytest.raises(ValueError, match=text):
        settings = {"model_dir": folder, "output_dir": str(tmp_path / "out"), **changes}
        finding.find(FindOptions(**settings))
    # A level that is out of range comes to light before a pass over the data.
    assert not (tmp_path / "out" / one_shot.IMPORTANCE_FILE).exists()
