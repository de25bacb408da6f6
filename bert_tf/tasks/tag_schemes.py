"""Tags of words: the parts of entities, such as "B-person", or plain ones, such as "NOUN".

Entities are written as BIO (IOB2): B- begins an entity, I- goes on with it, O is outside. With E-
and S-, for the last word and for an entity of one word, it is BIOES. IOB1, where I- begins an
entity too, is converted.
"""

import tensorflow as tf

#: The tag of a word that is in no entity.
OUTSIDE = "O"

_OF_ENTITY = r"^[BIES]-([^\n]+)$"
_BEGINS = {"I": "B", "E": "S"}
_PREFIXES = "BIES"


def is_of_entity(tag):
    """Returns whether a tag is a part of an entity.

    >>> is_of_entity("B-person"), is_of_entity("NOUN"), is_of_entity("O")
    (True, False, False)

    Args:
      tag: a text.
    """
    return tag[1:2] == "-" and tag[:1] in _PREFIXES and len(tag) > 2


def types(tags):
    """Returns the sorted types of entities of some tags.

    >>> types(["O", "I-person", "B-creative-work"])
    ['creative-work', 'person']

    Args:
      tags: texts.
    """
    return sorted({tag[2:] for tag in tags if is_of_entity(tag)})


def all_tags(tags):
    """Returns the tags of a model that learns some tags: O, and all parts of each type.

    >>> all_tags(["B-person", "O", "B-place"])
    ('O', 'B-person', 'I-person', 'B-place', 'I-place')

    Args:
      tags: texts, at least one; plain ones are sorted.

    Raises:
      ValueError: if some are parts of entities, and others are neither that nor O.
    """
    found = set(tags)
    entities = {tag for tag in found if is_of_entity(tag)}
    if not entities:
        return tuple(sorted(found, key=lambda tag: (tag != OUTSIDE, tag)))
    if others := sorted(found - entities - {OUTSIDE}):
        raise ValueError(
            f"tags that are O or begin with B-, I-, E- or S-, or none that do, received "
            f"{sorted(entities)[0]!r} and {others[0]!r}"
        )
    has_ends = any(tag[0] in "ES" for tag in entities)
    prefixes = _PREFIXES if has_ends else "BI"
    return (OUTSIDE, *(f"{prefix}-{one}" for one in types(entities) for prefix in prefixes))


def with_begins(tags):
    """Returns the tags of a sentence with B- where an entity begins with I-, as in IOB1.

    >>> with_begins(["I-person", "I-person", "O", "I-place"])
    ['B-person', 'I-person', 'O', 'B-place']

    Args:
      tags: list of texts.
    """
    found, before = [], OUTSIDE
    for tag in tags:
        goes_on = before[:1] in "BI" and is_of_entity(before) and before[2:] == tag[2:]
        if is_of_entity(tag) and tag[0] in _BEGINS and not goes_on:
            tag = _BEGINS[tag[0]] + tag[1:]
        found.append(tag)
        before = tag
    return found


def entities(tags):
    """Returns the entities that tags of words make, as seqeval does; it works inside a graph.

    An I- without a B- before it begins an entity.

    >>> types, first, last = entities(tf.constant([["B-place", "I-place", "O", "I-person"]]))
    >>> types.to_list(), first.numpy().tolist(), last.numpy().tolist()
    ([[b'place', b'person']], [[True, False, False, True]], [[False, True, False, True]])

    Args:
      tags: string tensor `[B, W]`, "" where a text has fewer words than others.

    Returns:
      `(types, first, last)`: a string `RaggedTensor [B, (E)]`, and bool `[B, W]`, which words are
      the first and the last ones of entities.
    """
    inside = tf.strings.regex_full_match(tags, _OF_ENTITY)
    types = tf.strings.regex_replace(tags, _OF_ENTITY, r"\1")
    is_open = tf.strings.regex_full_match(tags, "[BI]-.*")
    goes_on = tf.strings.regex_full_match(tags, "[IE]-.*")[:, 1:]
    goes_on &= inside[:, 1:] & is_open[:, :-1] & (types[:, 1:] == types[:, :-1])
    first = inside & ~tf.pad(goes_on, [[0, 0], [1, 0]])[:, : tf.shape(tags)[1]]
    last = inside & ~tf.pad(goes_on, [[0, 0], [0, 1]])[:, : tf.shape(tags)[1]]
    return tf.ragged.boolean_mask(types, first), first, last
