import json
import os

import numpy as np
import pytest

from bert_tf.studies.attention import pattern_classifier
from bert_tf.studies.attention.pattern_classifier import PatternClassifier
from flop_tf.backend import keras


@pytest.fixture(scope="module")
def classifier():
    network = pattern_classifier.network(36, 3)
    # Without, the answer of new weights would hardly depend on the map.
    network.layers[-1].kernel.assign(np.eye(16, 3))
    network.layers[-1].bias.assign([-0.1, 0.1, 0.0])
    return PatternClassifier(network, ("block", "mix", "other"), 9, 36, "norms")


@pytest.fixture(scope="module")
def maps():
    generator = np.random.default_rng(0)
    middles = (-3.0, 0.0, 3.0)
    return [
        generator.normal(middles[number % 3], 1.0, [size, size])
        for number, size in enumerate((9, 20, 36, 50) * 20)
    ]


def test_parameters_and_smallest_input():
    # Vector C19 of the specification.
    network = pattern_classifier.network(32, 5)
    assert network.count_params() == 72_917
    assert network.layers[-3].output_shape == (None, 1, 1, 16)


def test_initial_weights_follow_the_seed():
    def kernels(seed):
        return [w.numpy() for w in pattern_classifier.network(32, 2, seed).weights[::2]]

    first, again, other = kernels(3), kernels(3), kernels(4)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != different).any()


def test_classify(classifier, maps):
    found = classifier.classify(maps)
    assert found.shape == (80,) and found.dtype == np.int64 and len(set(found)) > 1
    one_by_one = np.concatenate([classifier.classify([each]) for each in maps[:4]])
    np.testing.assert_array_equal(found[:4], one_by_one)
    assert classifier.classify([]).shape == (0,)


def test_a_saved_classifier_gives_the_same_answers(classifier, maps, tmp_path):
    folder = tmp_path / "classifier"
    for _ in range(2):  # The second time it takes the place of the first.
        pattern_classifier.save(classifier, folder)
    loaded = pattern_classifier.load(folder)
    found = (loaded.labels, loaded.smallest, loaded.largest, loaded.kind)
    assert found == (classifier.labels, 9, 36, "norms")
    np.testing.assert_array_equal(loaded.classify(maps), classifier.classify(maps))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classifier"]


def test_nothing_else_is_replaced(classifier, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(ValueError, match="must be new, empty or the folder of a pattern class"):
            pattern_classifier.save(classifier, path)


ABOUT = {"labels": ["a", "b", "c"], "smallest": 1, "largest": 2, "size": 36, "kind": "norms"}


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("{", "must be JSON"),
        ([], "expected 'object', received 'array'"),
        ({"labels": ["a", "b", "c"]}, "expected the key 'smallest'"),
        ({**ABOUT, "size": 31}, "expected 'int' >= 32 at '.size'"),
        ({**ABOUT, "size": 10**12}, "expected 'int' <= 8192 at '.size'"),
        ({**ABOUT, "labels": "abc"}, "expected 'array', received 'str' at '.labels'"),
        ({**ABOUT, "more": 1}, "object contains unknown field 'more'"),
        ({**ABOUT, "labels": ["a", "b"]}, "is damaged: .* shape"),
    ],
)
def test_a_damaged_classifier(classifier, tmp_path, about, message):
    pattern_classifier.save(classifier, tmp_path)
    text = about if isinstance(about, str) else json.dumps(about)
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(ValueError, match=f"(?s)The .*{message}"):
        pattern_classifier.load(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04"])
def test_a_damaged_network(tmp_path, content):
    (tmp_path / "labels.json").write_text(json.dumps(ABOUT))
    if content is not None:
        (tmp_path / "network.safetensors").write_bytes(content)
    with pytest.raises(
        ValueError, match="The (network|pattern classifier) .* (is dam|does not ex)"
    ):
        pattern_classifier.load(tmp_path)


@pytest.mark.parametrize("name", ["network.keras", "network.safetensors"])
@pytest.mark.parametrize("end", [".keras", ".h5", ""])
def test_a_planted_network_is_not_run(tmp_path, name, end):
    """A whole Keras model runs its Lambda layers when it is loaded, whatever its file is called."""
    inputs = keras.Input([36, 36, 1])
    ran = str(tmp_path / "ran")
    outputs = keras.layers.Lambda(lambda x, path=ran: (open(path, "w").close(), x)[1])(inputs)
    keras.Model(inputs, outputs).save(tmp_path / f"planted{end}")
    os.remove(ran)  # Building it wrote the file.
    folder = tmp_path / "classifier"
    folder.mkdir()
    (folder / "labels.json").write_text(json.dumps(ABOUT))
    os.rename(tmp_path / f"planted{end}", folder / name)
    with pytest.raises(ValueError, match="The (network|pattern classifier) "):
        pattern_classifier.load(folder)
    assert not os.path.exists(ran)


def test_no_classifier(tmp_path):
    with pytest.raises(ValueError, match="is no pattern classifier: expected 'labels.json' in it"):
        pattern_classifier.load(tmp_path)


@pytest.mark.parametrize(
    ("size", "num_labels", "message"),
    [
        (31, 5, "`size` must be at least 32, received 31"),
        (32, 1, "`num_labels` must be at least 2, received 1"),
    ],
)
def test_arguments_out_of_range(size, num_labels, message):
    with pytest.raises(ValueError, match=message):
        pattern_classifier.network(size, num_labels)
