import json

import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig
from bert_tf.studies.masks import mask_agreement, mask_summary, subnetwork_size, survival
from bert_tf.surgery import units

for package in ("statsmodels", "krippendorff"):
    pytest.importorskip(package, reason="The extra `analysis` is not installed.")

CONFIG = EncoderConfig(
    vocab_size=50,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
)


def mask(generator):
    return {"heads": generator.random([3, 2]) < 0.6, "ffn": generator.random([3]) < 0.6}


@pytest.fixture
def masks():
    generator = np.random.default_rng(0)
    seeds = {"RTE": [1, 2, 3], "SST-2": [2, 3, 4]}
    return {task: {seed: mask(generator) for seed in seeds[task]} for task in seeds}


def test_within_a_task(masks):
    found = mask_summary.summarize(masks)
    kinds = [(row["task"], row["component"], row["seeds"]) for row in found["agreement"]]
    assert kinds == [
        *(("RTE", component, [1, 2, 3]) for component in ("heads", "ffn")),
        *(("SST-2", component, [2, 3, 4]) for component in ("heads", "ffn")),
    ]
    flat = np.array([each["heads"].ravel() for each in masks["RTE"].values()])
    row = found["agreement"][0]
    assert row["kept"] == flat.sum(axis=1).tolist() and row["components"] == 6
    assert row["stable"] == flat.all(axis=0).sum()
    assert (row["cochran_q"], row["cochran_p"]) == mask_agreement.cochran_q(flat)
    for name in ("mean_jaccard", "intersection_over_union", "similar_pairs", "fleiss_kappa"):
        assert row[name] == getattr(mask_agreement, name)(flat)
    assert row["krippendorff_alpha"] == mask_agreement.krippendorff_alpha(flat)
    np.testing.assert_array_equal(found["jaccard"][0]["values"], mask_agreement.jaccard(flat))
    assert found["sizes"] == []
    json.dumps(found, allow_nan=False)


def test_between_tasks_are_the_seeds_of_all(masks):
    found = mask_summary.summarize(masks)["between_tasks"]
    both = np.array([[by_seed[s]["ffn"] for s in (2, 3)] for by_seed in masks.values()])
    ffn = found["ffn"]
    assert ffn["seeds"] == [2, 3] and ffn["tasks"] == ["RTE", "SST-2"]
    mean, deviation = survival.survival(both)
    np.testing.assert_array_equal(ffn["survival"]["mean"], mean)
    np.testing.assert_array_equal(ffn["survival"]["deviation"], deviation)
    assert ffn["mean_survival"] == pytest.approx(mean.mean())
    assert ffn["mean_deviation"] == pytest.approx(deviation.mean())
    assert ffn["stable"] == survival.stable_over_tasks(both).sum()
    np.testing.assert_array_equal(ffn["overlap"]["mean"], survival.task_overlap(both)[0])
    assert ffn["similar_pairs"][0][1] == mask_agreement.similar_pairs(*both)
    assert np.shape(found["heads"]["survival"]["mean"]) == (3, 2)


def test_no_seed_of_all_tasks(masks):
    del masks["SST-2"][2], masks["SST-2"][3]
    assert mask_summary.summarize(masks)["between_tasks"] == {}


def test_one_seed(masks):
    one = {task: {2: by_seed[2]} for task, by_seed in masks.items()}
    found = mask_summary.summarize(one)
    assert found["agreement"][0]["fleiss_kappa"] is None
    assert found["between_tasks"]["heads"]["overlap"]["deviation"] is None
    assert found["between_tasks"]["heads"]["mean_deviation"] is None
    json.dumps(found, allow_nan=False)


def test_sizes(masks):
    rows = mask_summary.summarize(masks, CONFIG)["sizes"]
    assert [(row["task"], row["seed"]) for row in rows[:4]] == [
        *(("RTE", seed) for seed in (1, 2, 3)),
        ("SST-2", 2),
    ]
    small = units.config_under(CONFIG, units.by_path(masks["RTE"][1]))
    assert rows[0] == {"task": "RTE", "seed": 1, **subnetwork_size.sizes(small)}


def test_no_masks():
    found = mask_summary.summarize({})
    assert found == {"agreement": [], "jaccard": [], "between_tasks": {}, "sizes": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": np.ones([3], bool)}, r"'heads', 2-dimensional .*, bool \[3\]"),
        ({"heads": np.ones([3, 1], bool)}, r"'heads', .*bool \[3, 2\], bool \[3, 1\]"),
        ({"ffn": np.ones([3])}, r"'ffn', 1-dimensional .*float64 \[3\]"),
        ({"ffn": None}, r"'ffn', .*object \[\]"),
    ],
)
def test_masks_that_do_not_fit(masks, change, message):
    masks["RTE"][3] |= change
    with pytest.raises(ValueError, match=f"Task 'RTE' must have bool masks of {message}"):
        mask_summary.summarize(masks)


def test_masks_of_different_models(masks):
    generator = np.random.default_rng(0)
    masks["QQP"] = {2: {"heads": generator.random([4, 2]) < 0.5, "ffn": np.ones([4], bool)}}
    with pytest.raises(ValueError, match=r"'heads' must have one shape .*'QQP': \[4, 2\]"):
        mask_summary.summarize(masks)


def test_a_task_without_seeds(masks):
    with pytest.raises(ValueError, match="Task 'QQP' must have masks of at least one seed"):
        mask_summary.summarize({**masks, "QQP": {}})
