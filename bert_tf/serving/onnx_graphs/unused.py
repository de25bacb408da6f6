"""Constants that nothing reads."""


def remove_unused(graph):
    """Removes the constants that no node reads.

    Args:
      graph: an `onnx.GraphProto`, changed in place.
    """
    used = set(_read(graph))
    for constant in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(constant)


def _read(graph):
    """Yields the names that nodes read, also those inside the branches of an `If`."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _read(attribute.g)
                yield from (output.name for output in attribute.g.output)
