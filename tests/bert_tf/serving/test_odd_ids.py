"""Ids that no tokenizer makes: every format answers as the SavedModel does, or refuses them too."""

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.models.bert import BertModel
from bert_tf.serving import engines, formats, services
from bert_tf.serving.onnx_graphs.integers import LARGEST
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import registry
from bert_tf.tasks.squad import SquadTask
from bert_tf.tokenizers.tokenization import Tokenizer

pytest.importorskip("tf2onnx", reason="The extra `export` is not installed.")

IDS = np.array([[2, 4, 5, 7, 3, 0], [2, 6, 3, 0, 0, 0]], np.int32)
MASK = (IDS > 0).astype(np.int32)
TYPES = np.zeros_like(IDS)
POSITIONS = 16


def request(ids=IDS, mask=MASK, types=TYPES):
    return dict(zip(INPUT_NAMES, (ids, mask, types), strict=True))


def with_one(array, value):
    """Returns an array whose second token of the first text has another value."""
    array = array.copy()
    array[0, 1] = value
    return array


LONG = np.tile(IDS, (1, 4))
ANSWERED = {
    "all tokens masked": request(mask=0 * MASK),
    "longer than the positions": request(LONG, LONG // LONG.max() + 1, 0 * LONG),
    "no texts": request(IDS[:0], MASK[:0], TYPES[:0]),
    **{f"mask {n}": request(mask=MASK * n) for n in (2, 5, -1, 255, -(2**31))},
    "two kinds of mask": request(mask=with_one(MASK, 7)),
    **{f"segment {n}": request(types=with_one(TYPES, n)) for n in (1, 2, -1, -2, 10**6)},
    "an unknown word behind the positions": request(
        np.concatenate([LONG[:, :POSITIONS], LONG[:, :1] - 9], 1),
        np.ones([2, POSITIONS + 1], np.int32),
        np.zeros([2, POSITIONS + 1], np.int32),
    ),
}
REFUSED = {
    **{f"word {n}": request(with_one(IDS, n)) for n in (-1, -22, 22, 2**31 - 1, -(2**31))},
    "no tokens": request(IDS[:, :0], MASK[:, :0], TYPES[:, :0]),
    "neither texts nor tokens": request(IDS[:0, :0], MASK[:0, :0], TYPES[:0, :0]),
    "a short mask": request(mask=MASK[:, :3]),
    "a mask of one text": request(mask=MASK[:1]),
    "segments of one token": request(types=TYPES[:, :1]),
    "words of one text": request(IDS[:1]),
    "a transposed mask": request(mask=MASK.T),
    "shapes that differ behind the positions": request(LONG, LONG[:, :20], LONG),
    "int64": request(*(array.astype(np.int64) for array in (IDS, MASK, TYPES))),
    "one text alone": request(IDS[0], MASK[0], TYPES[0]),
    "no segments": {name: request()[name] for name in INPUT_NAMES[:2]},
}


@pytest.fixture(scope="module", params=["classifier", "span"])
def answers(request, vocab_file, tmp_path_factory):
    """By engine a function of a request that returns its answer."""
    task = registry.get("SST-2") if request.param == "classifier" else SquadTask(max_query_length=4)
    config = EncoderConfig(
        vocab_size=22,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
        head=request.param,
    )
    served = ServedModel(
        BertModel(config), services.get(task, Tokenizer(vocab_file), 11), POSITIONS
    )
    found, running = {}, {}
    # In float16 the graph is that of float32; a text without any token is another number there.
    for name, engine in engines.ENGINES.items():
        if not engine.is_installed or engine.formats[0] not in formats.FORMATS:
            continue
        form = formats.FORMATS[engine.formats[0]]
        folder = str(tmp_path_factory.mktemp(name))
        form.write(served, folder)
        running[name] = engines.Process(engine, form.path(folder))
        found[name] = lambda one, name=name: running[name].answers([("serving_default", one)])[0]
    yield found
    for process in running.values():
        process.close()


@pytest.mark.parametrize("asked", ANSWERED.values(), ids=ANSWERED)
def test_every_format_gives_the_answer_of_the_saved_model(answers, asked):
    expected = answers["tensorflow"](asked)
    expected.pop("label", None)  # A text, which the other engines lack.
    for name, answer in answers.items():
        given = answer(asked)
        for key, value in expected.items():
            limit = 1e-4 if not name.endswith("int8") else 0.1 * 127 / LARGEST
            np.testing.assert_allclose(given[key], value, atol=limit, err_msg=f"{name} {key}")


@pytest.mark.parametrize("number", [2, 5, -1, 255])
def test_any_mask_but_0_is_a_token(answers, number):
    for answer in answers.values():
        plain, other = answer(request()), answer(request(mask=MASK * number))
        for key, value in plain.items():
            np.testing.assert_array_equal(other[key], value)


@pytest.mark.parametrize("asked", REFUSED.values(), ids=REFUSED)
def test_every_format_refuses_what_the_saved_model_refuses(answers, asked):
    """And answers the next request as before; OpenVINO takes any word id, see the guide."""
    for name, answer in answers.items():
        if name == "openvino":
            continue
        before = answer(request())
        with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
            answer(asked)
        for key, value in answer(request()).items():
            np.testing.assert_array_equal(value, before[key])
