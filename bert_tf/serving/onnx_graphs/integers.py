"""Weights of an ONNX graph in int8, and products in integers.

A kernel W is stored as integers with a scale for each output channel, `W_ij = s_j w_ij`. The inputs
of a product become uint8 while the graph runs, once for all products of the same inputs.
I inputs, O outputs, V words, H hidden.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from bert_tf.serving.onnx_graphs import cpu
from bert_tf.serving.onnx_graphs.unused import remove_unused

_BYTE = 127
#: The largest integer of a kernel. A processor without instructions for products of bytes adds two
#: of uint8 and int8 in 16 bits, which saturate from 64 on: 255 * 2 * 64 fit.
LARGEST = _BYTE if cpu.multiplies_bytes() else 64
# Kernels of fewer inputs stay in float: they save nothing.
_FEWEST_INPUTS = 8


def layers(graph):
    """Returns the names of the layers with a weight that `quantize` changes, without repetition.

    Each factor of a projection is a layer of its own.

    Args:
      graph: an `onnx.GraphProto` of float32.
    """
    return list(dict.fromkeys(_layer(node) for node, _ in _weighted(graph)))


def quantize(graph, float_layers=()):
    """Stores kernels and embeddings as integers.

    Args:
      graph: an `onnx.GraphProto` of float32, changed in place.
      float_layers: names in `layers` of the layers that stay as they are; default none.
    """
    weighted = _weighted(graph)
    weights = {
        node.output[0]: weight for node, weight in weighted if _layer(node) not in float_layers
    }
    multiplied = {weight.name for node, weight in weighted if node.op_type == "MatMul"}
    nodes, integers, inputs = [], {}, set()
    for node in graph.node:
        weight = weights.get(node.output[0])
        if weight is None:
            nodes.append(node)
            continue
        if weight.name not in integers:
            largest = LARGEST if weight.name in multiplied else _BYTE
            integers[weight.name] = _add_integers(graph, weight, largest)
        if node.op_type == "Gather":
            nodes += _lookup(node, *integers[weight.name])
            continue
        x = node.input[0]
        if x not in inputs:
            nodes.append(helper.make_node("DynamicQuantizeLinear", [x], _parts(x), f"{x}/uint8"))
            inputs.add(x)
        nodes += _product(node, *integers[weight.name])
    del graph.node[:]
    graph.node.extend(nodes)
    remove_unused(graph)


def _weighted(graph):
    """Returns `(node, weight)` of the products with a kernel `[I, O]` and the look-ups of words."""
    matrices = {one.name: one for one in graph.initializer if len(one.dims) == 2}
    found = []
    for node in graph.node:
        if node.op_type in ("MatMul", "Gather"):
            weight = matrices.get(node.input[1 if node.op_type == "MatMul" else 0])
            if weight is not None and weight.dims[0] >= _FEWEST_INPUTS:
                found.append((node, weight))
    return found


def _layer(node):
    """Returns the name of a node without the model's, such as `encoder/block_0/query/MatMul_1`."""
    return node.name.partition("/")[2] or node.name


def _parts(x):
    """Returns the names of the integers, the scale and the zero point of a tensor."""
    return [f"{x}/{part}" for part in ("integers", "scale", "zero")]


def _add_integers(graph, weight, largest):
    """Adds the integers of a weight, their scales and zero points; returns the three names."""
    values = numpy_helper.to_array(weight)
    scales = np.abs(values).max(axis=0) / largest
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    integers = np.rint(values / scales).astype(np.int8)
    names = _parts(weight.name)
    for array, name in zip((integers, scales, np.zeros(len(scales), np.int8)), names, strict=True):
        graph.initializer.append(numpy_helper.from_array(array, name))
    return names


def _product(node, integers, scales, zeros):
    """Returns the nodes of `x W`: summed in int32, scaled in float32."""
    x_integers, x_scale, x_zero = _parts(node.input[0])
    sums, floats, factors = (f"{node.output[0]}/{part}" for part in ("sums", "floats", "scales"))
    inputs = [x_integers, integers, x_zero, zeros]
    return [
        helper.make_node("MatMulInteger", inputs, [sums], node.name),
        helper.make_node("Cast", [sums], [floats], f"{node.name}/cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [x_scale, scales], [factors], f"{node.name}/scales"),
        helper.make_node("Mul", [floats, factors], list(node.output), f"{node.name}/scale"),
    ]


def _lookup(node, integers, scales, zeros):
    """Returns the nodes of rows of a weight `[V, H]`, scaled after they are looked up."""
    rows = f"{node.output[0]}/integers"
    scaled, outputs = [rows, scales, zeros], list(node.output)
    return [
        helper.make_node("Gather", [integers, node.input[1]], [rows], node.name, axis=0),
        helper.make_node("DequantizeLinear", scaled, outputs, f"{node.name}/scale", axis=-1),
    ]
