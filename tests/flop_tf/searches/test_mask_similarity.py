import numpy as np
import pytest

from flop_tf.searches import mask_similarity


def bits(text):
    return np.array([each == "1" for each in text])


# T6 of the specification.
A = {"a": bits("1100"), "b": bits("10001110")}
B = {"a": bits("1010"), "b": bits("10001101")}


def test_similarity():
    found = mask_similarity.similarity(A, B)
    assert found["macro_jaccard"] == pytest.approx(0.4666667, abs=1e-7)
    assert 1 - found["macro_jaccard"] == pytest.approx(0.5333333, abs=1e-7)
    assert found["pooled_jaccard"] == 0.5
    assert found["hamming"] == 4 / 12
    assert [mask_similarity.jaccard(A[n], B[n]) for n in "ab"] == pytest.approx([1 / 3, 0.6])
    assert [mask_similarity.hamming(A[n], B[n]) for n in "ab"] == [0.5, 0.25]


def test_masks_that_keep_nothing_are_alike():
    empty = {"a": np.zeros([2, 3], bool)}
    expected = {"macro_jaccard": 1.0, "pooled_jaccard": 1.0, "hamming": 0.0}
    assert mask_similarity.similarity(empty, empty) == expected


def test_other_names_or_shapes_are_refused():
    text = r"same names and shapes, received \(8,\) and no mask for 'b'"
    with pytest.raises(ValueError, match=text):
        mask_similarity.similarity(A, {"a": A["a"]})
