import pytest

from bert_tf.encoders.config import EncoderConfig, LayerConfig
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import expected_shapes
from flop_tf.layers.projection import ProjectionSpec

GATE = {"name": "hard_concrete", "config": {"axis": 0}}
SWITCHED = {"name": "switched", "config": {"axis": 2, "num_masks": 3}}

UNEVEN = (
    LayerConfig(2, 12, {"query": ProjectionSpec(3), "ffn_out": ProjectionSpec(2, GATE)}),
    LayerConfig(1, 5, {"key": ProjectionSpec(0)}),
    LayerConfig(0, 0, gates={"ffn": SWITCHED}),
)


@pytest.mark.parametrize("layers", [(), UNEVEN])
def test_shapes_are_those_of_the_model(layers):
    config = EncoderConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=7,
        num_labels=3,
        layers=layers,
    )
    variables = BertModel(config).get_weight_paths()
    assert expected_shapes(config) == {path: tuple(v.shape) for path, v in variables.items()}
