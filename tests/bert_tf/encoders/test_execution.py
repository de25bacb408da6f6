import json

import numpy as np

from bert_tf.encoders.attention import EinsumAttention
from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import FusedBlock, TransformerBlock
from bert_tf.encoders.execution import TRAINING, Execution
from bert_tf.models.bert import BertModel
from flop_tf import surgery

CONFIG = EncoderConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=7,
)
EXPORTED = Execution(fused_blocks=(1,), fused_layer_norm=False, einsum_attention=True)


def test_plain_data():
    assert Execution(**json.loads(json.dumps(EXPORTED.to_dict()))) == EXPORTED
    assert Execution() == TRAINING


def test_each_form_is_a_class_of_its_own():
    encoder = BertModel(CONFIG, execution=EXPORTED).encoder
    assert [type(block) for block in encoder.blocks] == [TransformerBlock, FusedBlock]
    assert [block.attention.is_scaled for block in encoder.blocks] == [False, True]
    assert {type(block.attention) for block in encoder.blocks} == {EinsumAttention}
    norms = [encoder.embeddings.layer_norm, encoder.blocks[0].ffn_norm]
    assert [norm.fused for norm in norms] == [False, False]


def test_a_copy_by_its_config_has_the_same_execution():
    model = BertModel(CONFIG, execution=EXPORTED)
    copy = BertModel.from_config(model.get_config())
    assert (copy.config, copy.execution) == (CONFIG, EXPORTED)
    assert copy.encoder.execution == EXPORTED
    surgery.assign_weights(copy, surgery.named_weights(model))
    features = dict.fromkeys(
        ("input_word_ids", "input_mask", "input_type_ids"), np.ones([2, 3], np.int32)
    )
    np.testing.assert_array_equal(copy(features), model(features))
