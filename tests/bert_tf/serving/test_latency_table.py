import dataclasses
import re

import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.serving import latency_table
from bert_tf.serving.latency_table import (
    DENSE,
    EINSUM_ATTENTION,
    FACTORS,
    FUSED_DENSE,
    FUSED_FACTORS,
    FUSED_NORM,
    PLAIN_NORM,
    SEPARATE_DENSE,
    SEPARATE_FACTORS,
    TRANSPOSED_ATTENTION,
    LatencyTable,
)
from flop_tf.layers.projection import ProjectionSpec

OTHERS = (FUSED_NORM, PLAIN_NORM, EINSUM_ATTENTION, TRANSPOSED_ATTENTION)
POINTS = {16.0: 1.0, 32.0: 3.0, 64.0: 5.0, 13.0: 2.0, 29.0: 4.0}
TABLE = LatencyTable(
    shape=(2, 4),
    forms={(FACTORS, 32, 48): POINTS, (DENSE, 32, 48): {0.0: 9.0}},
    environment={"device": "x"},
)


@pytest.mark.parametrize(
    ("rank", "seconds"),
    [(16, 1.0), (48, 4.0), (64, 5.0), (96, 7.0), (13, 2.0), (21, 3.0), (5, 2.0), (45, 6.0)],
)
def test_between_what_was_measured(rank, seconds):
    """Multiples of 16 lie on a line of their own."""
    assert TABLE.seconds(FACTORS, 32, 48, [rank]) == pytest.approx(seconds)


def test_several_ranks_count_by_their_mean():
    assert TABLE.seconds(FACTORS, 32, 48, [16, 32, 96]) == pytest.approx(4.0)
    assert TABLE.seconds(FACTORS, 32, 48, [15, 21, 27]) == pytest.approx(3.0)
    assert TABLE.seconds(DENSE, 32, 48) == 9.0


@pytest.mark.parametrize("way, shape", [(FACTORS, (24, 40)), (FUSED_NORM, (32, 48))])
def test_a_layer_that_is_missing(way, shape):
    sentence = f"must hold layers of {shape[0]}x{shape[1]} .{way}., received one for 32x48;"
    with pytest.raises(ValueError, match=sentence):
        TABLE.seconds(way, *shape, [16])


def test_saved_and_loaded(tmp_path):
    path = str(tmp_path / "table.json")
    TABLE.save(path)
    assert LatencyTable.load(path) == TABLE


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"forms": [1]}',
        '{"shape": [2, 4], "environment": {}, "forms": [{"way": "dense", "inputs": 1, '
        '"outputs": 1, "seconds": [[0, NaN]]}]}',
        '{"shape": [2, 4], "environment": 7, "forms": []}',
        '{"shape": [8], "environment": {}, "forms": []}',
        '{"shape": [8, 0], "environment": {}, "forms": []}',
        '{"shape": [8, 1000000000000], "environment": {}, "forms": []}',
        '{"shape": [2, 4], "environment": {}, "forms": [{"way": "dense", "inputs": 1.5, '
        '"outputs": 1, "seconds": []}]}',
        '{"shape": [2, 4], "environment": {}, "forms": [{"way": "dense", "inputs": 1, '
        '"outputs": 1, "seconds": [[0, -1]]}]}',
        "[" * 100_000,
    ],
)
def test_no_table(text, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        ValueError, match="The latency table '.*table.json' (must be|is damaged or of anoth).*"
    ):
        LatencyTable.load(str(path))
    with pytest.raises(
        ValueError,
        match="The latency table 'nowhere' does not exist; flop-benchmark --table makes one",
    ):
        LatencyTable.load("nowhere")


def test_unaligned_ranks_stay_so_if_their_mean_is_not():
    assert TABLE.seconds(FACTORS, 32, 48, [13, 35, 48]) == pytest.approx(4.375)  # Not 3.0 of 32.


def test_layer_norm_is_measured_as_the_model_computes_it():
    """With an epsilon like Keras' own, both ways would be one operation."""
    operations = []
    for way in (FUSED_NORM, PLAIN_NORM):
        (layer,) = latency_table._make(EncoderConfig(9, 32, 1, 2), way, 32, 0)
        call = tf.function(lambda x, layer=layer: layer(x, training=False))
        graph = call.get_concrete_function(tf.TensorSpec([None, 32])).graph
        operations.append({one.type for one in graph.get_operations()})
    assert "FusedBatchNormV3" in operations[0] and "FusedBatchNormV3" not in operations[1]


@pytest.mark.parametrize(
    ("way", "operation", "number"),
    [
        (DENSE, "MatMul", 1),
        (FACTORS, "MatMul", 2),
        (SEPARATE_DENSE, "MatMul", 3),
        (FUSED_NORM, "FusedBatchNorm|LayerNorm", 1),
        (PLAIN_NORM, "Rsqrt", 1),
        (EINSUM_ATTENTION, "Einsum", 2),
        (TRANSPOSED_ATTENTION, "Transpose", 4),
    ],
)
def test_every_repetition_is_computed(way, operation, number, optimized_operations):
    """The optimizer drops what nothing needs, and computes once what is the same twice."""
    config = EncoderConfig(9, 32, 1, 2)
    operations = optimized_operations(
        latency_table._call(config, (2, 8), 32, 32, way, 16 if way == FACTORS else 0)
    )
    found = sum(bool(re.search(operation, one)) for one in operations)
    assert found == number * latency_table._REPEATS


def test_measured(tmp_path):
    config = EncoderConfig(9, 32, 1, 2, 48, max_position_embeddings=8)
    pruned = dataclasses.replace(config, layers=(LayerConfig(1, 20),))
    table = latency_table.measure(pruned, (2, 8), rounds=2)
    assert table.shape == (2, 8)
    assert all(seconds > 0 for points in table.forms.values() for seconds in points.values())
    for shape in ((32, 32), (32, 16)):  # With both heads, and with one.
        for way in (SEPARATE_DENSE, FUSED_DENSE):
            assert table.seconds(way, *shape) > 0
        for way in (SEPARATE_FACTORS, FUSED_FACTORS):
            assert table.seconds(way, *shape, [3, 5, 7]) > 0
    for shape in ((32, 48), (48, 32), (32, 20), (20, 32), (16, 32)):
        assert table.seconds(DENSE, *shape) > 0 and table.seconds(FACTORS, *shape, [9]) > 0
    for way in OTHERS:
        assert table.seconds(way, 32, 32) > 0
    table.save(tmp_path / "t.json")
    assert LatencyTable.load(str(tmp_path / "t.json")) == table
    assert table.environment["device"]


def test_an_export_measures_what_its_model_may_use():
    """Factors at shapes that have some, up to their largest rank; else kernels alone."""
    config = EncoderConfig(9, 96, 2, 6, 160, max_position_embeddings=8)
    ranks = {"ffn_in": ProjectionSpec(20), "query": ProjectionSpec(0)}
    uneven = (LayerConfig(2, 50, ranks), LayerConfig(3, 70, {"ffn_in": ProjectionSpec(5)}))
    pruned = dataclasses.replace(config, layers=uneven)
    layers = latency_table._layers(pruned, all_ranks=False)
    kernel = {(SEPARATE_DENSE, 0), (FUSED_DENSE, 0)}
    assert layers[96, 32] == layers[96, 48] == kernel
    assert layers[32, 96] == layers[48, 96] == layers[160, 96] == {(DENSE, 0)}
    assert layers[96, 96] == {*kernel, (DENSE, 0), *((way, 0) for way in OTHERS)}
    assert layers[96, 50] == {(DENSE, 0), *((FACTORS, rank) for rank in (13, 16, 29, 32))}
    every = latency_table._layers(pruned, all_ranks=True)
    assert (FACTORS, 96) in every[96, 160] and (FUSED_FACTORS, 32) in every[96, 32]
    dense = latency_table._layers(config, all_ranks=False)
    assert {way for ways in dense.values() for way, _ in ways} == {
        DENSE,
        SEPARATE_DENSE,
        FUSED_DENSE,
        *OTHERS,
    }


def test_measuring_shows_its_progress(capsys):
    table = latency_table.measure(EncoderConfig(9, 16, 1, 2, 16), (1, 4), rounds=1, all_ranks=False)
    assert table.num_layers == 7
    shown = capsys.readouterr().err
    assert "layers of 4 tokens: 100%" in shown and "7/7" in shown
