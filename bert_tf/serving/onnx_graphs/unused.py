"""Constants that nothing reads."""


def remove_unused(graph):
    """Removes the constants that no node reads.

    Args:
      graph: an `onnx.GraphProto`, changed in place.
    """
    used = {name for node in graph.node for name in node.input}
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)
