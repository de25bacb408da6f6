"""Which blocks of a student learn the hidden states of which blocks of its teacher.

L blocks. A match takes `distance(student block, teacher block)`, a function of two indexes that
returns a scalar tensor, and L; it returns the sum over blocks, a scalar tensor.

Reference:
  Structured Pruning Learns Compact and Accurate Models (CoFi), arXiv 2204.00408.
"""

import itertools

import tensorflow as tf

# Blocks of the teacher that are learned where the match moves.
_MOST_TAUGHT = 4


def same(distance, num_blocks):
    """Returns `sum over l of distance(l, l)`; see the module.

    Args:
      distance: see the module.
      num_blocks: L.
    """
    return tf.add_n([distance(block, block) for block in range(num_blocks)])


def moving(distance, num_blocks):
    """Returns the least sum over maps of some teacher blocks to student blocks in order.

    The teacher's blocks are the last ones of each of four parts of the network, such as 2, 5, 8 and
    11 of 12; the map may differ from batch to batch. The sum counts as one over L blocks.

    Args:
      distance: see the module.
      num_blocks: L.
    """
    taught = taught_blocks(num_blocks)
    table = tf.stack([[distance(own, theirs) for own in range(num_blocks)] for theirs in taught])
    maps = list(itertools.combinations(range(num_blocks), len(taught)))
    rows = tf.range(len(taught))[:, tf.newaxis]
    places = tf.stack(
        [tf.broadcast_to(rows, [len(taught), len(maps)]), tf.transpose(maps)], axis=-1
    )
    sums = tf.reduce_sum(tf.gather_nd(table, places), axis=0)
    return tf.reduce_min(sums) * num_blocks / len(taught)


def taught_blocks(num_blocks):
    """Returns the indexes of the teacher's blocks that `moving` matches, a list.

    >>> taught_blocks(12), taught_blocks(6), taught_blocks(2)
    ([2, 5, 8, 11], [0, 2, 3, 5], [0, 1])

    Args:
      num_blocks: L, at least 1.
    """
    parts = min(num_blocks, _MOST_TAUGHT)
    return [num_blocks * part // parts - 1 for part in range(1, parts + 1)]


#: Matches by name.
MATCHES = {"same": same, "moving": moving}
