import io

import matplotlib.image
import numpy as np

from bert_tf.presentation import plots


def image(png):
    return matplotlib.image.imread(io.BytesIO(png))


def test_a_heatmap_leaves_cells_without_a_rank_blank():
    grid = np.full([2, 6], np.nan)
    blank = image(plots.rank_heatmap(np.where(np.arange(6) < 1, 3.0, grid)))
    full = image(plots.rank_heatmap(np.full([2, 6], 3.0)))
    assert blank.shape == full.shape
    white = [(each[..., :3] == 1).all(axis=-1).mean() for each in (blank, full)]
    assert white[0] > white[1] + 0.3


def test_results_of_one_kind_share_a_color():
    def picture(*asked):
        results = [
            {"stage": "compact", "target": each, "score": 0.5 + i / 10, "metric": "f1_score"}
            for i, each in enumerate(asked)
        ]
        png = image(plots.score_against([1.0, 2.0], results, "parameters"))
        saturated = np.ptp(png[..., :3], axis=-1) > 0.5
        return len(np.unique(png[saturated][:, :3].round(1), axis=0))

    assert picture(0.5, 0.8) > picture(0.5, 0.5)


def test_latencies_have_a_color_for_each_model():
    def picture(*names):
        rows = [
            {"model": name, "batch_size": 1, "length": t, "p50_ms": 2.0 * t, "p90_ms": 3.0 * t}
            for name in names
            for t in (16, 64)
        ]
        png = image(plots.latencies(rows))
        saturated = np.ptp(png[..., :3], axis=-1) > 0.5
        return len(np.unique(png[saturated][:, :3].round(1), axis=0))

    assert picture("dense", "compact") > picture("dense")


def test_dollars_of_a_name_are_shown():
    """Matplotlib would typeset what they enclose, and refuse what it cannot."""
    grid = np.array([[0.5]])
    assert image(plots.share_heatmap(grid, [r"$\frac$"], ["$a$"], "share")).shape[2] == 4
