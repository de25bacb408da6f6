import json

import pytest

from bert_tf import latency_table
from bert_tf.config import BertConfig
from bert_tf.latency_table import LatencyTable

#: 32 is a size of the model; ranks are measured beside it.
PRODUCTS = {
    (32, 16): 1.0,
    (32, 32): 3.0,
    (32, 64): 5.0,
    (32, 13): 2.0,
    (32, 29): 4.0,
    (16, 48): 7.0,
}
TABLE = LatencyTable(tokens=8, products=PRODUCTS, copy=1e-9, environment={"device": "x"})


@pytest.mark.parametrize(
    ("outputs", "seconds"),
    [(16, 1.0), (48, 4.0), (64, 5.0), (96, 7.0), (13, 2.0), (21, 3.0), (5, 2.0), (45, 6.0)],
)
def test_between_what_was_measured(outputs, seconds):
    """Multiples of 16 lie on a line of their own."""
    assert TABLE.seconds(32, outputs) == pytest.approx(seconds)


def test_a_size_that_is_missing():
    with pytest.raises(ValueError, match="must hold products of 24 by 40, received one for .*16"):
        TABLE.seconds(24, 40)


def test_saved_and_loaded(tmp_path):
    path = str(tmp_path / "table.json")
    TABLE.save(path)
    assert LatencyTable.load(path) == TABLE


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"products": [1]}'])
def test_no_table(text, tmp_path):
    path = tmp_path / "table.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="The file '.*table.json' is no latency table"):
        LatencyTable.load(str(path))
    with pytest.raises(ValueError, match="The latency table 'nowhere' does not exist"):
        LatencyTable.load("nowhere")


def test_measured(tmp_path):
    config = BertConfig(9, 32, 1, 2, 48, max_position_embeddings=8)
    table = latency_table.measure(config, tokens=16, rounds=2)
    assert table.tokens == 16 and table.copy > 0
    assert all(seconds > 0 for seconds in table.products.values())
    assert {(32, 32), (32, 48), (48, 32), (32, 96), (32, 16), (13, 48)} <= set(table.products)
    assert table.seconds(32, 40) > 0 and table.seconds(21, 48) > 0
    table.save(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["environment"]["device"]
