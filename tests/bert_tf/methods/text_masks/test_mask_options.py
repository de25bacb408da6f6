"""What follows from the settings of a search."""

import pytest

from bert_tf.methods.text_masks.mask_options import MaskOptions


def test_noise_moves_scores_the_same_in_runs_of_any_length():
    paths = {"data_dir": "text", "init_checkpoint": "bert", "output_dir": "out"}
    for steps in (64, 900):
        options = MaskOptions(**paths, num_train_steps=steps)
        assert options.score_rate * steps**0.5 == pytest.approx(0.0035)
    assert MaskOptions(**paths, score_learning_rate=5e-5).score_rate == 5e-5


def test_the_start_of_scores_follows_from_the_binarizer():
    paths = {"data_dir": "text", "init_checkpoint": "bert", "output_dir": "out"}
    assert MaskOptions(**paths).first_scores == "proportional"
    drawn = {"binarizer": "straight_through_bernoulli"}
    assert MaskOptions(**paths, **drawn).first_scores == "equal"
    assert MaskOptions(**paths, **drawn, init="random").first_scores == "random"
