import numpy as np
import pytest
import tensorflow as tf

from bert_tf.methods.text_masks import hidden_losses

# T5 of the specification: two layers of two tokens.
TEACHER = [tf.constant([[[1.0, 0], [1, 1]]]), tf.constant([[[0.0, 2], [3, 4]]])]
STUDENT = [tf.constant([[[1.0, 1], [1, 1]]]), tf.constant([[[0.0, -1], [4, 3]]])]
FULL = tf.constant([[1, 1]])


@pytest.mark.parametrize(
    "kind, layers, mean",
    [("cosine", [0.14644661, 1.02], 0.58322330), ("mse", [0.25, 2.75], 1.5)],
)
def test_hidden_states(kind, layers, mean):
    """T5."""
    for index, expected in enumerate(layers):
        pair = STUDENT[index : index + 1], TEACHER[index : index + 1]
        assert float(hidden_losses.hidden_distance(*pair, FULL, kind)) == pytest.approx(expected)
    found = hidden_losses.hidden_distance(STUDENT, TEACHER, FULL, kind)
    assert float(found) == pytest.approx(mean, rel=1e-6)


def test_padding_is_left_out_unless_it_is_asked_for():
    mask = tf.constant([[1, 0]])
    # The first tokens alone: (1 - sqrt(1/2)) and 2.
    expected = (1 - np.sqrt(0.5) + 2) / 2
    found = hidden_losses.hidden_distance(STUDENT, TEACHER, mask)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    # |h|^2 / sqrt(2) of the first tokens: 2 and 1, then 1 and 4.
    found = hidden_losses.relation_distance(STUDENT, TEACHER, mask)
    assert float(found) == pytest.approx((1 / 2 + 9 / 2) / 2)
    scores = [tf.reshape(tf.constant([1.0, 2, 3, 4]), [1, 1, 2, 2])]
    zero = [tf.zeros([1, 1, 2, 2])]
    assert float(hidden_losses.attention_distance(scores, zero, mask)) == 1
    assert float(hidden_losses.attention_distance(scores, zero, FULL)) == 30 / 4


def test_relations_of_tokens_and_of_samples():
    student, teacher = STUDENT[:1], TEACHER[:1]
    # [[2, 2], [2, 2]] against [[1, 1], [1, 2]], over sqrt(2).
    found = hidden_losses.relation_distance(student, teacher, FULL)
    assert float(found) == pytest.approx(3 / 4 / 2)
    narrow = [tf.constant([[[1.0], [0]], [[2.0], [0]]])]
    wide = [tf.constant([[[2.0, 0], [9, 9]], [[0, 2.0], [9, 9]]])]
    # Of the first tokens [[1, 2], [2, 4]] against [[4, 0], [0, 4]] / sqrt(2).
    expected = np.mean((np.array([[1, 2], [2, 4]]) - np.eye(2) * 4 / np.sqrt(2)) ** 2)
    found = hidden_losses.relation_distance(narrow, wide, tf.ones([2, 2]), "samples")
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_layer_map():
    assert hidden_losses.layer_map(3, 6) == [1, 3, 5] and hidden_losses.layer_map(2, 2) == [0, 1]
    with pytest.raises(ValueError, match="a multiple of the student's 4 layers, received 6"):
        hidden_losses.layer_map(4, 6)
