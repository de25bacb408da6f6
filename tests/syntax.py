"""What the text of a file of Python says, without running it."""

import ast


def imports(tree):
    """Yields the whole names of the modules that a file imports, given its `ast.Module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "Imports name the whole path."
            yield node.module
