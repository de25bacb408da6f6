import numpy as np
import pytest

from bert_tf.studies.attention import pattern_classifier, pattern_training


def test_patterns_are_learned(labelled_maps, tmp_path):
    maps, labels = labelled_maps
    classifier, report = pattern_training.train(
        maps, labels, epochs=12, batch_size=16, learning_rate=3e-3
    )
    assert classifier.labels == ("block", "diagonal", "mix", "other", "vertical")
    assert (classifier.smallest, classifier.largest) == (20, 36)
    assert report["accuracy"] > 0.9
    # A fifth is held out, of each label alike.
    assert {report[label]["support"] for label in classifier.labels} <= {7, 8}
    assert report["macro avg"]["support"] == 36
    found = classifier.classify(maps)
    assert np.mean(np.array(classifier.labels)[found] == labels) > 0.9
    pattern_classifier.save(classifier, tmp_path / "saved")
    loaded = pattern_classifier.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.classify(maps), found)


def test_the_same_seed_gives_the_same_classifier():
    maps = [np.random.default_rng(i).random([8, 8]) for i in range(20)]
    labels = ["block", "other"] * 10
    settings = {"epochs": 2, "batch_size": 4}

    def weights():
        classifier, _ = pattern_training.train(maps, labels, seed=1, **settings)
        assert classifier.network.input_shape == (None, 32, 32, 1)
        return np.concatenate([np.ravel(each) for each in classifier.network.get_weights()])

    np.testing.assert_array_equal(weights(), weights())


def test_the_last_of_the_best_epochs_is_kept():
    class Model:
        weights = 0

        def get_weights(self):
            return self.weights

    best = pattern_training._BestWeights()
    best.model = Model()
    for epoch, accuracy in enumerate([0.1, 0.8, 0.3, 0.8, 0.7]):
        best.model.weights = epoch
        best.on_epoch_end(epoch, {"val_accuracy": accuracy})
    assert best.weights == 3


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        (["a"] * 9 + ["b"], {}, r"to hold out a fifth of them, received {'a': 9, 'b': 1}"),
        (list("aabbccddee"), {}, "enough maps of each label"),
        (["a"], {}, "an entry for each of the 10 maps, received 1"),
        (["a", "b"] * 5, {"epochs": 0}, "`epochs` must be at least 1, received 0"),
        (["a", "b"] * 5, {"batch_size": 0}, "`batch_size` must be at least 1, received 0"),
        (["a", "b"] * 5, {"learning_rate": 0.0}, "`learning_rate` must be above 0, received 0.0"),
        (["a"] * 10, {"epochs": 1}, "`num_labels` must be at least 2, received 1"),
    ],
)
def test_what_cannot_be_trained(labels, changes, message):
    with pytest.raises(ValueError, match=message):
        pattern_training.train([np.eye(4)] * 10, labels, **changes)


def test_no_maps():
    with pytest.raises(ValueError, match="enough maps of each label"):
        pattern_training.train([], [])
