"""The ONNX graphs of tiny models in float32 and int8: answers, and operations as they are run."""

import collections
import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from bert_tf.encoders.config import EncoderConfig
from bert_tf.encoders.encoder import INPUT_NAMES
from bert_tf.encoders.execution import Execution
from bert_tf.models.bert import BertModel
from bert_tf.serving import (
    constant_folding,
    execution_plan,
    formats,
    latency_probes,
    services,
)
from bert_tf.serving.engines.engine import ENGINES
from bert_tf.serving.execution_plan import Plan
from bert_tf.serving.onnx_graphs import cpu
from bert_tf.serving.onnx_graphs.integers import LARGEST
from bert_tf.serving.served_model import ServedModel
from bert_tf.tasks import registry
from bert_tf.tasks.squad import SquadTask
from bert_tf.tokenizers.tokenization import Tokenizer
from flop_tf.layers.projection import ProjectionSpec

onnx = pytest.importorskip("onnx", reason="The extra `export` is not installed.")
onnxruntime = pytest.importorskip("onnxruntime", reason="The extra `export` is not installed.")

BLOCKS, POSITIONS = 2, 16
CONFIG = EncoderConfig(
    vocab_size=22,
    hidden_size=32,
    num_hidden_layers=BLOCKS,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=POSITIONS,
    initializer_range=0.3,
)
NAMES = [name for index, name, *_ in CONFIG.projections() if index == 0]
FACTORS = {(i, name): ProjectionSpec(9 + i) for i in range(BLOCKS) for name in NAMES}
FUSED = Execution(fused_blocks=(0, 1))
# Above the break-even ranks: such a layer asks for the number of tokens before it multiplies.
FULL = {(i, name): ProjectionSpec(min(shape)) for i, name, _, shape in CONFIG.projections()}


def pruned(**changes):
    """Returns the config whose first block differs."""
    first = dataclasses.replace(CONFIG.layers[0], **changes)
    return dataclasses.replace(CONFIG, layers=(first, CONFIG.layers[1]))


MODELS = {
    "dense": (CONFIG, Execution()),
    "dense, fused": (CONFIG, FUSED),
    "factors": (CONFIG.with_projections(FACTORS), Execution()),
    "factors, fused": (CONFIG.with_projections(FACTORS), FUSED),
    "full ranks": (CONFIG.with_projections(FULL), Execution()),
    "rank 0": (CONFIG.with_projections({(0, "ffn_in"): ProjectionSpec(0)}), Execution()),
    "no heads": (pruned(num_heads=0), Execution()),
    "one head": (pruned(num_heads=1), Execution()),
    "no neurons": (pruned(intermediate_size=0), Execution()),
    "span": (dataclasses.replace(CONFIG, head="span"), Execution()),
    "mlm": (dataclasses.replace(CONFIG, head="mlm", num_labels=1), Execution()),
}


@functools.cache  # Both formats are made of one conversion.
def served(name, vocab_file):
    config, execution = MODELS[name]
    source, generator = BertModel(config), np.random.default_rng(0)
    for variable in source.variables:  # Products with 1 and sums with 0 would not be in the graph.
        variable.assign_add(generator.normal(scale=0.1, size=variable.shape))
    model = constant_folding.fold(source)
    model = execution_plan.apply(model, Plan(model.config, execution))
    tasks = {"span": SquadTask(max_query_length=4), "mlm": registry.get("mlm")}
    task = tasks.get(config.head) or registry.get("SST-2")
    return ServedModel(model, services.get(task, Tokenizer(vocab_file), 11), POSITIONS)


def request(batch_size, length):
    generator = np.random.default_rng(length)
    ids = generator.integers(5, 22, [batch_size, length], np.int32)
    mask = np.tile(np.arange(length, dtype=np.int32), [batch_size, 1])
    mask = (mask < generator.integers(1, length + 1, [batch_size, 1])).astype(np.int32)
    return dict(zip(INPUT_NAMES, (ids, mask, 0 * ids), strict=True))


def optimized(path, tmp_path):
    """Returns how many operations of each kind ONNX Runtime runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    return collections.Counter(node.op_type for node in graph.node)


def test_the_graph_is_not_copied_again_and_again(monkeypatch, vocab_file):
    """A copy for each optimization would take dozens of times the memory of the weights."""
    from tf2onnx import graph, optimizer

    copied, copy = [], optimizer.copy.deepcopy
    monkeypatch.setattr(
        optimizer.copy,
        "deepcopy",
        lambda what, *memo: copied.append(type(what)) or copy(what, *memo),
    )
    formats.get("onnx").convert(served.__wrapped__("rank 0", vocab_file))
    assert copied and graph.Graph not in copied


@pytest.mark.parametrize("name", MODELS)
def test_answers_and_operations(name, vocab_file, tmp_path):
    model, form = served(name, vocab_file), formats.FORMATS["onnx"]
    form.write(model, str(tmp_path))
    path = form.path(str(tmp_path))
    answers = [
        ENGINES[one].load(path, 1)
        for one in ("onnxruntime", "openvino")
        if ENGINES[one].is_installed
    ]
    for shape in ((3, 7), (1, 1), (2, 16), (5, 20), (0, 4)):
        asked = request(*shape)
        expected = model.numbers(*(tf.constant(asked[name]) for name in INPUT_NAMES))
        for answer in answers[: None if shape[0] else 1]:  # OpenVINO cannot answer no texts.
            given = answer("serving_default", asked)
            assert given.keys() == expected.keys()
            for key, value in expected.items():
                np.testing.assert_allclose(given[key], value, atol=1e-4, err_msg=f"{key} {shape}")
    found = optimized(path, tmp_path)
    num_ffns = BLOCKS - (name in ("rank 0", "no neurons"))
    assert found["LayerNormalization"] == 1 + 2 * BLOCKS + (name == "mlm")
    assert found["Gelu"] + found["BiasGelu"] == num_ffns + (name == "mlm")
    assert not found.keys() & {"Erf", "Pow", "ReduceMean", "Sqrt"}


def test_random_models_of_latency_tables_have_the_operations_of_real_ones(vocab_file, tmp_path):
    """As converters drop sums with biases of 0 and products with scales of 1."""
    form, found = formats.FORMATS["onnx"], []
    for model in (latency_probes.served(Plan(CONFIG)), served("dense", vocab_file)):
        form.write(model, str(tmp_path))
        found.append(optimized(form.path(str(tmp_path)), tmp_path))
    assert found[0] == found[1]


def written(form, model, folder):
    """Returns the graph of a file, and its constants by name."""
    form.write(model, str(folder))
    graph = onnx.load(form.path(str(folder))).graph
    return graph, {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}


# Products in the branches of ranks above break-even stay in float; a plan makes kernels of them.
@pytest.mark.parametrize("name", [name for name in MODELS if name != "full ranks"])
def test_products_in_integers(name, vocab_file, tmp_path):
    """A scale for each column, all inputs turned to integers once, answers close by."""
    model, form = served(name, vocab_file), formats.FORMATS["onnx_int8"]
    graph, arrays = written(form, model, tmp_path)
    kinds = collections.Counter(node.op_type for node in graph.node)
    for node in graph.node:
        if node.op_type == "MatMulInteger":
            integers, zeros = arrays[node.input[1]], arrays[node.input[3]]
            assert integers.dtype == np.int8 and zeros.shape == integers.shape[1:]
            assert not zeros.any() and (np.abs(integers).max(axis=0) == LARGEST).all()
    inputs = [node.input[0] for node in graph.node if node.op_type == "DynamicQuantizeLinear"]
    assert len(inputs) == len(set(inputs)) > 0 and kinds["DequantizeLinear"] == 1
    floats = [one for one in arrays.values() if one.dtype == np.float32 and one.ndim == 2]
    assert all(len(one) <= POSITIONS for one in floats)  # Positions and segments alone.
    answer = ENGINES["onnxruntime"].load(form.path(str(tmp_path)), 1)
    for shape in ((3, 7), (1, 1), (2, 16), (0, 4)):
        asked = request(*shape)
        expected = model.numbers(*(tf.constant(asked[one]) for one in INPUT_NAMES))
        given = answer("serving_default", asked)
        for key, value in expected.items():
            np.testing.assert_allclose(
                given[key], value, atol=0.3 * 127 / LARGEST, err_msg=f"{key} {shape}"
            )


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        ("x86_64", "flags : avx2 fma\n", False),
        ("x86_64", "flags : avx2 avx_vnni\n", True),
        ("x86_64", "flags : avx512_vnni\n", True),
        ("aarch64", "", True),
        ("x86_64", None, True),
    ],
)
def test_processors_that_multiply_bytes(machine, text, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(cpu, "_FILE", str(tmp_path / "cpuinfo"))
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert cpu.multiplies_bytes() == expected


def test_layers_stay_in_float(vocab_file, tmp_path):
    model, form = served("factors", vocab_file), formats.FORMATS["onnx_int8"]
    names, layer = form.layers(model), "encoder/block_1/ffn_in/MatMul"
    assert len(names) == len(set(names)) and layer in names
    counts = []
    for kept in ([], [layer], names):
        graph, _ = written(form.keeping(kept), model, tmp_path)
        counts.append(sum(node.op_type == "MatMulInteger" for node in graph.node))
    assert counts[1] == counts[0] - 1 and counts[2] == 0


def test_formats_share_a_conversion(vocab_file, tmp_path, monkeypatch):
    import tf2onnx

    model = served("dense", vocab_file)
    graph, _ = written(formats.FORMATS["onnx"], model, tmp_path)
    monkeypatch.setattr(tf2onnx.convert, "from_function", None)
    written(formats.FORMATS["onnx_int8"], model, tmp_path)
    again, _ = written(formats.FORMATS["onnx"], model, tmp_path)
    assert again == graph


def test_one_factor_of_a_projection_stays_in_float(vocab_file, tmp_path):
    model, form = served("factors", vocab_file), formats.FORMATS["onnx_int8"]
    layers = [one for one in form.layers(model) if "block_1/ffn_out" in one]
    assert [one.rpartition("/")[2] for one in layers] == ["MatMul", "MatMul_1"]
    graph, _ = written(form.keeping(layers[1:]), model, tmp_path)
    kinds = {
        n.name.rpartition("/")[2]: n.op_type for n in graph.node if "block_1/ffn_out" in n.name
    }
    assert (kinds["MatMul"], kinds["MatMul_1"]) == ("MatMulInteger", "MatMul")
