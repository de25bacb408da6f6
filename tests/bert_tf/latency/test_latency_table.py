import dataclasses
import json
import re

import latency_tables
import numpy as np
import pytest

from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.encoders.execution import Execution
from bert_tf.latency import LatencyTable, latency_table, terms
from flop_tf.layers.projection import ProjectionSpec

CONFIG = EncoderConfig(9, 32, 2, 2, 48, max_position_embeddings=16)
HERE = {"device": "a chip", "cores": 2, "threads": 1}
TABLE = latency_tables.make(
    {
        (terms.FACTORS, 0): 1e-6,
        (terms.UNALIGNED_FACTORS, 0): 2e-6,
        (terms.PLAIN_NORM, 0): 3e-6,
        (terms.EINSUM, 0): 4e-6,
        (terms.EINSUM_HEADS, 0): -1e-6,
        (terms.FUSED, 0): -5e-6,
        (terms.FUSED_HEADS, 0): 2e-6,
        (terms.FUSED_FACTORS, 0): -7e-6,
    },
    **HERE,
)
FIXED = 1e-3


def with_layers(*layers):
    return dataclasses.replace(CONFIG, layers=layers, num_hidden_layers=len(layers))


@pytest.mark.parametrize(
    ("heads", "seconds"), [(0, 0), (0.5, 1e-4), (1, 2e-4), (1.5, 2.5e-4), (2, 3e-4), (4, 5e-4)]
)
def test_attention_between_and_beyond_what_was_measured(heads, seconds):
    assert TABLE.attention(heads) == pytest.approx(seconds)


@pytest.mark.parametrize(("neurons", "seconds"), [(0, 0), (8, 5e-5), (32, 1.5e-4), (64, 2.5e-4)])
def test_ffn_between_and_beyond_what_was_measured(neurons, seconds):
    assert TABLE.ffn(neurons) == pytest.approx(seconds)


def test_products():
    dense = 32 * 48 * 1e-9
    assert TABLE.product(32, 48) == pytest.approx(dense)
    assert TABLE.product(32, 48, 0) == 0
    assert TABLE.product(32, 48, 16) == pytest.approx(1e-6 + 16 * 80e-9)
    assert TABLE.product(32, 48, 17) == pytest.approx(3e-6 + 17 * 80e-9)


def test_a_model_is_the_sum_of_its_parts():
    norms = 5e-5  # Two a block, and one of the embeddings.
    assert TABLE.predict(CONFIG) == pytest.approx(FIXED + norms + 2 * (3e-4 + 2e-4))
    uneven = with_layers(LayerConfig(1, 32), LayerConfig(2, 0))
    assert TABLE.predict(uneven) == pytest.approx(FIXED + norms + 2e-4 + 1.5e-4 + 3e-4)


def test_sublayers_that_are_gone_take_nothing():
    gone = with_layers(LayerConfig(0, 0), LayerConfig(0, 0, has_ffn=False))
    assert TABLE.predict(gone) == pytest.approx(FIXED + 5e-5)


def test_ranks():
    """Factors come in the place of their kernel; rank 0 leaves nothing of it."""
    specs = {"query": ProjectionSpec(16), "ffn_in": ProjectionSpec(5), "key": ProjectionSpec(0)}
    ranks = with_layers(LayerConfig(2, 48, specs))
    query, ffn_in = 1e-6 + 16 * 64e-9, 3e-6 + 5 * 80e-9
    without = 5e-4 - (2 * 32 * 32 + 32 * 48) * 1e-9
    assert TABLE.predict(ranks) == pytest.approx(FIXED + 3e-5 + without + query + ffn_in)


@pytest.mark.parametrize(
    ("execution", "more"),
    [
        (Execution(), 0),
        (Execution(fused_layer_norm=False), 5 * 3e-6),
        (Execution(einsum_attention=True), 2 * (4e-6 - 2e-6)),
        (Execution(fused_blocks=(1,)), -5e-6 + 4e-6),
    ],
)
def test_executions(execution, more):
    difference = TABLE.predict(CONFIG, execution) - TABLE.predict(CONFIG)
    assert difference == pytest.approx(more, abs=1e-12)


def test_fused_factors():
    specs = dict.fromkeys(("query", "key", "value"), ProjectionSpec(16))
    config = with_layers(LayerConfig(2, 48, specs))
    fused = TABLE.predict(config, Execution(fused_blocks=(0,)))
    assert fused - TABLE.predict(config) == pytest.approx(-7e-6)


def test_a_way_that_an_engine_lacks_makes_no_difference():
    table = latency_tables.make()
    execution = Execution(fused_layer_norm=False, einsum_attention=True)
    assert table.predict(CONFIG, execution) == table.predict(CONFIG)


def test_another_width():
    other = EncoderConfig(9, 48, 1, 3, 48)
    sentence = (
        "The latency table must be of models with hidden_size=48 and heads of 16, received one of "
        "hidden_size=32 and heads of 16; measure one for this model by flop-benchmark --table."
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        TABLE.predict(other)


def test_saved_and_loaded(tmp_path):
    path = str(tmp_path / "table.json")
    TABLE.save(path)
    assert LatencyTable.load(path) == TABLE
    assert latency_table.load_for(path, ["onnx", "tensorflow"], (8, 16), CONFIG, HERE) == TABLE


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"engines": ["a", "b"]}, "of the engine a or b, received one of tensorflow"),
        ({"shape": (1, 16)}, "of the shape 1x16, received one of 8x16"),
        (
            {"environment": {**HERE, "device": "other"}},
            "of the machine other, 2 cores, 1 threads, received one of a chip, 2 cores, 1 threads",
        ),
        ({"environment": {**HERE, "threads": 2}}, "1 threads; measure one by"),
        ({"config": EncoderConfig(9, 48, 1, 3, 48)}, "hidden_size=48"),
    ],
)
def test_a_table_of_something_else(changed, sentence, tmp_path):
    path = str(tmp_path / "table.json")
    TABLE.save(path)
    wanted = {"engines": ["tensorflow"], "shape": (8, 16), "config": CONFIG, "environment": HERE}
    with pytest.raises(ValueError, match=sentence):
        latency_table.load_for(path, **{**wanted, **changed})


@pytest.mark.parametrize(
    "change",
    [
        {"engine": 7},
        {"environment": 7},
        {"shape": [8]},
        {"shape": [8, 0]},
        {"shape": [8, 10**12]},
        {"hidden_size": 0},
        {"rows": [1]},
        {"rows": []},
        {"rows": [{"term": "ffn", "size": 1.5, "seconds": 1, "spread": 0}]},
        {"rows": [{"term": "ffn", "size": 1, "seconds": "1", "spread": 0}]},
        {"rows": [{"term": "ffn", "size": 1, "seconds": 1, "spread": 0}]},
    ],
)
def test_no_table(change, tmp_path):
    path = tmp_path / "table.json"
    TABLE.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(
        ValueError, match=r"The latency table '.*table.json' (must|is damaged) .*flop-benchmark"
    ):
        LatencyTable.load(str(path))


@pytest.mark.parametrize("cut", [0, 1, 100, -2])
def test_a_file_that_is_cut(cut, tmp_path):
    path = tmp_path / "table.json"
    TABLE.save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"The latency table '.*table.json' (must be|is damaged)"):
        LatencyTable.load(str(path))


def test_no_file():
    with pytest.raises(
        ValueError,
        match="The latency table 'nowhere' does not exist; flop-benchmark --table makes one",
    ):
        LatencyTable.load("nowhere")


def test_numpy_sizes():
    """Budgets sum probabilities of heads."""
    assert TABLE.attention(np.float32(1.5)) == pytest.approx(2.5e-4)


def test_tables_of_the_folder_of_an_export(tmp_path):
    with pytest.raises(ValueError, match="must be of an export with latency tables, but it has no"):
        latency_table.paths_of([str(tmp_path)], ["onnxruntime"])
    paths = {}
    for engine in ("onnxruntime", "litert"):
        path = paths[engine] = str(tmp_path / latency_table.TABLE_FILE.format(engine))
        latency_tables.make(engine=engine).save(path)
    places = [str(tmp_path), "file.json"]
    assert latency_table.paths_of(places, ["litert"]) == [paths["litert"], "file.json"]
    assert latency_table.paths_of(places, ["tensorflow"]) == ["file.json"]
