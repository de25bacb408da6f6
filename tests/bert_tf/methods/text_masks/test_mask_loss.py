"""What masks are trained by."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.checkpoints import read_source
from bert_tf.encoders.config import EncoderConfig
from bert_tf.heads.mlm import MASKED_POSITIONS
from bert_tf.methods.text_masks.mask_loss import TEXT_WEIGHTS, LossTerms, MaskLoss
from bert_tf.models.bert import BertModel
from bert_tf.surgery import masks, one_shot_masks


def test_a_teacher_that_does_not_fit_is_refused(bert_dir):
    def teacher(**changes):
        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
        return BertModel(
            EncoderConfig(**{"vocab_size": 15, "num_attention_heads": 2, **sizes, **changes})
        )

    def learn(terms, teacher):
        MaskLoss(terms, teacher)
        terms.check_teacher(EncoderConfig(15, 4, 1, 2, 8), teacher.config)

    with pytest.raises(ValueError, match="the student's width of 4 where hidden states are match"):
        learn(LossTerms(hidden="mse"), teacher())
    learn(LossTerms(relation="tokens"), teacher())
    with pytest.raises(ValueError, match="the student's 2 heads where attention is matched, rec"):
        learn(LossTerms(attention=True), teacher(num_attention_heads=4))
    source = read_source(bert_dir)
    pruned = masks.apply(source, {"blocks.0.heads": np.array([True, False])}).config
    for name, configs in (
        ("student", (pruned, source.config)),
        ("teacher", (source.config, pruned)),
    ):
        expected = f"The {name} must have all its heads where .* heads removed in 1 layers"
        with pytest.raises(ValueError, match=expected):
            LossTerms(attention=True).check_teacher(*configs)
        LossTerms(hidden="cosine").check_teacher(*configs)
    with pytest.raises(ValueError, match="A teacher is needed where hidden states, attention"):
        learn(LossTerms(attention=True), None)


def test_the_distance_to_a_teacher_counts_each_term(bert_dir):
    """Each term alone and their sum, of a student that is not its teacher."""
    source = read_source(bert_dir)
    head = {"head": "mlm", "num_labels": 1}
    student, teacher = (
        one.model(**head)
        for one in (masks.multiply(source, one_shot_masks.one_shot(source, "random", 0.5)), source)
    )
    features = {
        "input_word_ids": tf.constant([[2, 5, 6, 3], [2, 7, 3, 0]]),
        "input_mask": tf.constant([[1, 1, 1, 1], [1, 1, 1, 0]]),
        "input_type_ids": tf.zeros([2, 4], tf.int32),
        MASKED_POSITIONS: tf.constant([[1], [1]]),
    }

    def distance(learner, batch=features, **terms):
        loss = MaskLoss(LossTerms(mlm=False, **terms), teacher)
        return float(loss.distance(learner, batch))

    terms = [{"hidden": "cosine"}, {"attention": True}, {"relation": "tokens"}]
    alone = [distance(student, **term) for term in terms]
    together = distance(student, hidden="cosine", attention=True, relation="tokens")
    assert min(alone) > 0 and together == pytest.approx(sum(alone), rel=1e-5)
    assert distance(teacher, hidden="mse", attention=True, relation="samples") < 1e-6
    rows = tf.constant([0, 1, 0, 0])
    filled = {name: tf.gather(values, rows) for name, values in features.items()}
    filled[TEXT_WEIGHTS] = tf.constant([2.0, 2, 0, 0])
    for term in (*terms, {"relation": "samples"}, {"hidden": "mse", "padding": True}):
        expected = distance(student, **term)
        assert distance(student, filled, **term) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    nothing = {name: values[3:] for name, values in filled.items()}
    assert distance(student, nothing, **term) == 0
    for change in ({"first_token": True}, {"padding": True}):
        assert distance(student, hidden="cosine", **change) != pytest.approx(alone[0], rel=1e-4)
