import io

import matplotlib.image
import numpy as np
import pytest

from bert_tf.studies.attention import attention_plots
from bert_tf.studies.tickets import ticket_plots


def image(png):
    return matplotlib.image.imread(io.BytesIO(png))[..., :3]


def num_colors(png):
    """Returns how many colours there are that are neither grey nor rare."""
    pixels = image(png).reshape(-1, 3)
    saturated = pixels[np.ptp(pixels, axis=-1) > 0.3]
    _, counts = np.unique(saturated.round(1), axis=0, return_counts=True)
    return int((counts > 50).sum())


def test_survival_of_heads_and_ffns():
    heads, ffn = np.arange(6.0).reshape(2, 3), np.array([6.0, 1.0])
    plain = image(ticket_plots.survival_heatmap((heads, None), (ffn, None)))
    both = image(ticket_plots.survival_heatmap((heads, heads / 2), (ffn, ffn / 2)))
    assert plain.shape == both.shape and (plain != both).any()
    # Eight cells of one scale: the FFN that survives most is at its end.
    other = image(ticket_plots.survival_heatmap((heads, None), (ffn * 2, None)))
    assert (plain != other).any()


def test_nothing_survives():
    png = ticket_plots.survival_heatmap((np.zeros([2, 2]), None), (np.zeros([2]), None))
    assert image(png).shape[0] > 50


def test_a_matrix_shows_its_lower_triangle():
    values = np.array([[3.0, 1.0], [1.0, 2.0]])
    found = image(ticket_plots.matrix(["RTE", "SST-2"], values, label="heads"))
    changed = values.copy()
    changed[0, 1] = 2.0
    same = image(ticket_plots.matrix(["RTE", "SST-2"], changed, label="heads"))
    np.testing.assert_array_equal(found, same)
    spread = image(ticket_plots.matrix(["RTE", "SST-2"], values, values / 3, label="heads"))
    assert (found != spread).any()


def test_a_curve_for_each_kind():
    points = [(0.5, 0.6, 0.05), (0.9, 0.8, None)]
    one = ticket_plots.phase_transition({"winning": points}, "accuracy")
    three = ticket_plots.phase_transition(
        {"winning": points, "random": points, "losing": [(0.5, 0.4, 0.1)]}, "accuracy", dense=0.85
    )
    assert num_colors(three) > num_colors(one)
    # The order of the points does not matter.
    turned = ticket_plots.phase_transition({"winning": points[::-1]}, "accuracy")
    np.testing.assert_array_equal(image(one), image(turned))


@pytest.mark.parametrize("kind", ["winning", "extra"])
def test_a_dense_line(kind):
    curves = {kind: [(0.5, 0.6, None)]}
    pictures = (ticket_plots.phase_transition(curves, "accuracy", each) for each in (None, 0.59))
    without, with_line = ((image(each) < 0.7).all(axis=-1).sum() for each in pictures)
    assert with_line > without + 100


def test_stacked_bars_have_a_color_for_each_pattern():
    few = {"RTE": {"block": 0.5, "other": 0.5}}
    more = {"RTE": {"block": 0.5, "other": 0.5}, "SST-2": {"block": 0.2, "diagonal": 0.8}}
    assert num_colors(attention_plots.pattern_shares(more)) > num_colors(
        attention_plots.pattern_shares(few)
    )


def test_heads_of_uneven_blocks():
    maps = np.eye(6)[np.newaxis].repeat(3, axis=0)
    whole = image(attention_plots.attention_heads([maps, maps]))
    uneven = image(attention_plots.attention_heads([maps, maps[:1]]))
    assert whole.shape == uneven.shape and (whole != uneven).any()
    assert image(attention_plots.attention_heads([maps[:0]])).shape[0] > 50
