"""The spelling of operations in an ONNX graph that ONNX Runtime runs fastest.

It finds LayerNorm and GELU by exact patterns, in which a square is a `Pow` and an erf is of a
quotient; tf2onnx writes both as `Mul`. Of matrices it computes a product and its bias by a `Gemm`,
for which one thread copies the bias to every row first. The numbers stay the same but for rounding.

M tokens of a batch, I inputs.
"""

import numpy as np
from onnx import helper, numpy_helper

from bert_tf.serving.onnx_graphs.unused import remove_unused


def respell(graph):
    """Writes squares, arguments of erf and the rows of products as ONNX Runtime expects them.

    Args:
      graph: an `onnx.GraphProto` of tf2onnx, changed in place.
    """
    constants = {one.name: one for one in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Mul" and node.input[0] == node.input[1]:
            _replace(graph, node, "Pow", node.input[0], 2.0)
        elif node.op_type == "Erf":
            product = producers.get(node.input[0])
            if product is not None and product.op_type == "Mul":
                _divide(graph, product, constants)
        elif node.op_type == "Reshape":
            _keep_three_axes(graph, node, constants)
        elif node.op_type == "ReduceMean":
            _reduce_last_axis(node)
        elif node.op_type == "If":
            for branch in node.attribute:
                _forget_shapes(branch.g)
    del graph.value_info[:]  # The shapes from before.
    remove_unused(graph)


def _forget_shapes(branch):
    """Drops the shapes of a branch, whose rows have an axis more now."""
    del branch.value_info[:]
    for output in branch.output:
        output.type.tensor_type.ClearField("shape")


def _divide(graph, product, constants):
    """Makes the product of x with a constant scalar a quotient."""
    for x, factor in (product.input, reversed(product.input)):
        if factor in constants and not constants[factor].dims:
            value = numpy_helper.to_array(constants[factor])
            _replace(graph, product, "Div", x, np.float32(1 / value))
            return


def _replace(graph, node, op_type, x, value):
    """Makes a node another operation of x and a scalar."""
    node.op_type = op_type
    node.input[:] = [x, _add(graph, node, np.float32(value))]


def _keep_three_axes(graph, node, constants):
    """Makes `[M, I]` of tokens `[1, M, I]`, which every operation on rows takes as well."""
    if node.input[1] not in constants:
        # A batch of none has the size 0, which would mean the size of the same axis before.
        node.attribute.append(helper.make_attribute("allowzero", 1))
    else:
        rows, *inputs = numpy_helper.to_array(constants[node.input[1]]).tolist()
        if rows == -1 and len(inputs) == 1 and inputs[0] > 1:
            node.input[1] = _add(graph, node, np.array([1, -1, *inputs]))


def _reduce_last_axis(node):
    """Counts the axis of a mean over inputs from the end; LayerNorm takes no other mean."""
    (axes,) = (attribute for attribute in node.attribute if attribute.name == "axes")
    axes.ints[:] = [-1]


def _add(graph, node, array):
    """Adds a constant for a node; returns its name."""
    constant = numpy_helper.from_array(array, f"{node.name}/{node.op_type}")
    graph.initializer.append(constant)
    return constant.name
