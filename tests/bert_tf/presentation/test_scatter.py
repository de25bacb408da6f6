"""Points, ticks and names of a scatter plot."""

import pytest

from bert_tf.presentation import scatter

FRAME = (0, 0, 360, 240)


def test_an_axis_has_space_around_its_values():
    axis = scatter.Axis.around([0.5, 1.0], 200, 100)
    assert (axis.low, axis.high) == pytest.approx((0.46, 1.04))
    assert axis.place(0.75) == 150.0
    assert axis.place(1.04) == 100.0
    assert [text for _, text in axis.ticks()] == ["0.5", "0.6", "0.7", "0.8", "0.9", "1"]
    assert axis.ticks()[0][0] == axis.place(0.5)


def test_an_axis_from_zero():
    axis = scatter.Axis.around([10.0, 50.0], 0, 100, from_zero=True)
    assert axis.low == 0.0 and axis.high == 54.0
    assert axis.ticks()[0] == (0.0, "0")


@pytest.mark.parametrize("value", [0.0, 0.875, -3.0])
def test_an_axis_of_one_value(value):
    axis = scatter.Axis.around([value], 0, 100)
    assert axis.low < value < axis.high
    assert axis.place(value) == 50.0
    assert axis.ticks()


def test_names_avoid_markers_and_each_other():
    # Alone, above; at the upper edge, below; with a marker on top, below; at the right, left.
    assert scatter.name_places([(100, 100)], ["dense"], FRAME) == [(100, 87, "middle")]
    assert scatter.name_places([(100, 15)], ["dense"], FRAME) == [(100, 37, "middle")]
    assert scatter.name_places([(100, 100), (100, 84)], ["one", "two"], FRAME) == [
        (100, 122, "middle"),
        (100, 71, "middle"),
    ]
    assert scatter.name_places([(355, 100)], ["dense"], FRAME) == [(342, 104, "end")]
    # Without a name nothing is taken.
    places = scatter.name_places([(100, 100), (100, 100)], ["", "two"], FRAME)
    assert places[1] == (100, 87, "middle")
    # Points at one place: the second name is below.
    places = scatter.name_places([(100, 100), (100, 100)], ["one", "two"], FRAME)
    assert places == [(100, 87, "middle"), (100, 122, "middle")]


def test_lines_go_from_left_to_right():
    points = [(30.0, 1.0), (10.0, 2.0), (20.0, 3.0)]
    assert scatter.lines(points, [0, 0, 1]) == {0: "10.0,2.0 30.0,1.0", 1: "20.0,3.0"}
