import dataclasses
import json

import pytest

from bert_tf.encoders.config import PROJECTIONS, EncoderConfig, LayerConfig
from flop_tf.layers.projection import ProjectionSpec

GATE = {"name": "hard_concrete", "config": {"axis": 0, "seed": 3}}
BASE = EncoderConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=7,
)
UNEVEN = dataclasses.replace(
    BASE,
    layers=(
        LayerConfig(2, 12, {"query": ProjectionSpec(3, GATE), "ffn_out": ProjectionSpec(2)}),
        LayerConfig(1, 5, {"key": ProjectionSpec(0)}),
        LayerConfig(0, 0),
    ),
)


def written(config, tmp_path):
    path = tmp_path / "bert_config.json"
    path.write_text(json.dumps(config.to_dict()), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("config", [BASE, UNEVEN, dataclasses.replace(BASE, word_embedding_rank=3)])
def test_round_trip_through_json(config, tmp_path):
    assert EncoderConfig.from_json_file(written(config, tmp_path)) == config


def test_a_dense_config_has_the_keys_of_google():
    assert "layers" not in BASE.to_dict()
    assert UNEVEN.to_dict()["layers"][1] == {
        "num_heads": 1,
        "intermediate_size": 5,
        "projections": {"key": {"rank": 0}},
    }


def test_foreign_keys_and_names_of_activations():
    data = {"vocab_size": 9, "hidden_act": "gelu_new", "pooler_fc_size": 8, "architectures": []}
    assert EncoderConfig.from_dict(data) == EncoderConfig(9, hidden_act="gelu_tanh")


def test_shapes_of_uneven_layers():
    found = {(i, name): (spec.rank, shape) for i, name, spec, shape in UNEVEN.projections()}
    assert found[0, "query"] == (3, (8, 8))
    assert found[0, "ffn_in"] == (None, (8, 12))
    assert found[1, "key"] == (0, (8, 4))
    assert found[1, "attention_output"] == (None, (4, 8))
    assert found[1, "ffn_out"] == (None, (5, 8))
    # What leads to heads or neurons that are gone is gone too; the bias behind them stays.
    assert [name for i, name in found if i == 2] == ["attention_output", "ffn_out"]
    assert found[2, "attention_output"] == (0, (0, 8)) and found[2, "ffn_out"] == (0, (0, 8))


def test_dense_forgets_all_pruning():
    assert UNEVEN.dense == BASE
    assert dataclasses.replace(BASE, word_embedding_rank=3).dense == BASE
    assert len(list(BASE.projections())) == 3 * len(PROJECTIONS)


def test_said_or_left_out_is_the_same():
    specs = {(i, name): ProjectionSpec() for i in range(3) for name in PROJECTIONS}
    assert BASE.with_projections(specs) == BASE
    assert UNEVEN.with_projections({}) == UNEVEN


def test_with_projections():
    changed = UNEVEN.with_projections(
        {(1, "key"): ProjectionSpec(), (1, "value"): ProjectionSpec(1)}
    )
    assert changed.layers[1].projections == {"value": ProjectionSpec(1)}
    assert changed.layers[0] == UNEVEN.layers[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vocab_size": 0}, "`vocab_size` must be at least 1, received 0"),
        ({"word_embedding_rank": 0}, "`word_embedding_rank` must be at least 1, received 0"),
        ({"word_embedding_rank": 9}, "`word_embedding_rank` must be at most 8, received 9"),
        ({"num_labels": 0}, "`num_labels` must be at least 1, received 0"),
        ({"num_attention_heads": 3}, "must be a multiple of `num_attention_heads`, .* 8 and 3"),
        ({"hidden_act": "swish"}, "`hidden_act` must be one of .*'relu'.*received 'swish'"),
        ({"num_hidden_layers": 2, "layers": UNEVEN.layers}, "`layers` must have 2 .*received 3"),
    ],
)
def test_errors(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(BASE, **changes)


def test_errors_of_a_layer():
    with pytest.raises(ValueError, match="`num_heads` must be at least 0, received -1"):
        LayerConfig(-1, 4)
    with pytest.raises(ValueError, match="`intermediate_size` must be at least 0, received -4"):
        LayerConfig(1, -4)
    with pytest.raises(ValueError, match=r"expects names of .*'query'.*received \['pooler'\]"):
        LayerConfig(1, 4, {"pooler": ProjectionSpec()})


def with_projections(text):
    layer = f'{{"num_heads": 1, "intermediate_size": 2, "projections": {text}}}'
    return f'{{"vocab_size": 9, "num_hidden_layers": 1, "layers": [{layer}]}}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "must be JSON"),
        ("[]", "is damaged or of another kind: expected 'object', received 'array'"),
        ('{"hidden_size": 8}', r"needs the key 'vocab_size', received the keys \['hidden_size'\]"),
        (
            '{"vocab_size": "9"}',
            "cannot be used: .* expected 'int', received 'str' at '.vocab_size'",
        ),
        ('{"vocab_size": 9, "layers": [{}]}', "cannot be used: .* expected the key 'num_heads'"),
        (with_projections("[]"), "cannot be used: .* received 'array' at '.layers.0..projections'"),
        (
            with_projections('{"query": {"ranks": 1}}'),
            r"must have no keys but .*'rank'.*\['ranks'\]",
        ),
        (
            with_projections('{}, "has_fnn": false'),
            r"must have no keys but .*received \['has_fnn'\]",
        ),
        ('{"vocab_size": 9, "num_hidden_layers": 0}', "`num_hidden_layers` must be at least 1"),
        ('{"vocab_size": 9, "num_hidden_layers": 10000000}', "must be at most 1000, received"),
        ('{"vocab_size": ' + "9" * 4000 + "}", "at most 16777216, received 9{18}...9{19}.$"),
        ('{"vocab_size": 1000000000000}', "`vocab_size` must be at most 16777216, received"),
        ('{"vocab_size": 9, "layer_norm_eps": -1}', "`layer_norm_eps` must be at least 0"),
        ('{"vocab_size": 9, "hidden_dropout_prob": 1e999}', "must be JSON: 1e999 is no number"),
        (
            with_projections('{"query": {"rank": 1, "gate": "x"}}'),
            "cannot be used: .* expected 'object . null', received 'str' at .*gate'",
        ),
        (
            with_projections('{"query": {"rank": 1, "gate": {"name": "hard"}}}'),
            "cannot be used: A serialized gate must name one of .*, received 'hard'",
        ),
        ('{"vocab_size": 9, "num_attention_heads": 5}', "must be a multiple of"),
    ],
)
def test_errors_of_a_file(text, sentence, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"The BERT config .*config.json' .*{sentence}"):
        EncoderConfig.from_json_file(str(path))


def test_no_file():
    with pytest.raises(ValueError, match="The BERT config 'nowhere' does not exist"):
        EncoderConfig.from_json_file("nowhere")


def test_older_configs_with_the_execution_of_exports_are_the_same_architecture():
    data = {**UNEVEN.to_dict(), "fused_layer_norm": False, "einsum_attention": True}
    data["layers"] = [{**data["layers"][0], "fused_attention": True}, *data["layers"][1:]]
    assert EncoderConfig.from_dict(data) == UNEVEN
