"""A format of checkpoints that nothing but this file knows is recognised and read."""

import json

import numpy as np
import pytest
import safetensors.numpy

import bert_tf
from bert_tf.checkpoints import read_source
from bert_tf.checkpoints.formats import FORMATS, ForeignFormat, register_format
from bert_tf.families.names import From, Names
from bert_tf.models.weight_paths import expected_shapes
from flop_tf import surgery


class Upside(ForeignFormat):
    """Safetensors by our paths with a mark before them, each array turned upside down."""

    config_file = "upside.json"

    @staticmethod
    def recognises(variables):
        return any(name.startswith("up:") for name in variables.shapes)

    def names(self, about):
        paths = expected_shapes(about.config)
        return Names({path: From(f"up:{path}", np.flipud) for path in paths})


@pytest.fixture
def known():
    """The format is unknown again afterwards."""
    with FORMATS.temporary():
        yield register_format("upside")(Upside)


def test_a_format_of_ones_own(known, bert_dir, vocab_file, tmp_path):
    model = bert_tf.load(bert_dir)
    weights = surgery.named_weights(model)
    flipped = {f"up:{path}": np.flipud(array).copy() for path, array in weights.items()}
    safetensors.numpy.save_file(flipped, tmp_path / "model.safetensors")
    (tmp_path / "upside.json").write_text(json.dumps(model.config.to_dict()))
    with open(vocab_file, encoding="utf-8") as file:
        (tmp_path / "vocab.txt").write_text(file.read(), encoding="utf-8")
    source = read_source(tmp_path)
    assert (source.format, source.config) == ("upside", model.config)
    assert source.tokenizer().vocab == bert_tf.load_tokenizer(bert_dir).vocab
    for path, array in surgery.named_weights(source.model()).items():
        np.testing.assert_array_equal(array, weights[path])
