"""."""


def cases():
    return []
