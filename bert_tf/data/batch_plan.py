"""Which examples form each batch, and how wide it is: little padding, a fixed order for each seed.

B batch, N examples, S steps.
An epoch is shuffled, cut into windows of `WINDOW_BATCHES` batches, sorted by
length inside each window and cut into batches, which are shuffled again. So
examples meet by chance, yet a batch is hardly wider than its texts. Where examples
are of groups, each batch is of one, and the batches of all are shuffled: a group has
as many as its size says. The plan is NumPy and depends on seed and epoch alone: a
run can go on from any step.
"""

import numpy as np

#: Batches that are sorted by length together.
WINDOW_BATCHES = 64

#: Examples of a run, counted each time that one is taken; their plan is made beforehand.
MOST_EXAMPLES = 2**26

#: Widths are multiples of it where none are given.
WIDTH_STEP = 8


def epoch_plan(lengths, batch_size, max_seq_length, seed, epoch, widths=None, groups=None):
    """Returns which examples form each batch of one epoch, and how wide it is.

    Every example comes exactly once; the last batch may be short, with groups one of each.

    Args:
      lengths: `[N]`, tokens of each example, at most `max_seq_length`.
      batch_size: B, at least 1.
      max_seq_length: the widest that a batch may be.
      seed: int.
      epoch: int from 0.
      widths: the allowed widths; the smallest that holds the batch is taken.
        None: its longest text, rounded up to a multiple of `WIDTH_STEP`.
      groups: `[N]`, ints; a batch has examples of one. None: all are of one.

    Returns:
      `(indices, widths)`: int32 `[S, B]` with S of `num_batches`, -1 where a
      short batch has no example, and int32 `[S]`.

    Raises:
      ValueError: if there are no examples or a width does not fit.
    """
    lengths = np.asarray(lengths)
    _check(len(lengths), batch_size)
    generator = np.random.default_rng([seed, epoch])
    indices = np.concatenate(
        [
            _shuffled(members, lengths, batch_size, generator)
            for members in _members(len(lengths), groups)
        ]
    )
    if groups is not None:
        indices = generator.permutation(indices)
    return indices, _widths(lengths, indices, max_seq_length, widths)


def training_plan(
    lengths,
    batch_size,
    max_seq_length,
    seed,
    first_step=0,
    num_steps=None,
    widths=None,
    groups=None,
):
    """Returns the batches of a run from any step on, over as many epochs as it takes.

    Args:
      lengths: see `epoch_plan`; so the next three, `widths` and `groups`.
      batch_size: see above.
      max_seq_length: see above.
      seed: see above.
      first_step: steps of earlier runs; counts over epochs.
      num_steps: S; None is the rest of the epoch.
      widths: see above.
      groups: see above.

    Returns:
      `(indices, widths)` as `epoch_plan`.

    Raises:
      ValueError: if there are no examples, a width does not fit or there are too many steps.
    """
    _check(len(lengths), batch_size)
    steps_per_epoch = num_batches(len(lengths), batch_size, groups)
    epoch, skipped = divmod(first_step, steps_per_epoch)
    if num_steps is None:
        num_steps = steps_per_epoch - skipped
    check_run(num_steps, batch_size)
    num_epochs = -(-(skipped + num_steps) // steps_per_epoch)
    plans = [
        epoch_plan(lengths, batch_size, max_seq_length, seed, epoch + i, widths, groups)
        for i in range(max(1, num_epochs))
    ]
    indices, chosen = (
        np.concatenate(parts)[skipped : skipped + num_steps] for parts in zip(*plans, strict=True)
    )
    return indices, chosen


def evaluation_plan(lengths, batch_size, max_seq_length, widths=None, groups=None):
    """Returns `(indices, widths)` as `epoch_plan`, of batches sorted by group and length.

    Args:
      lengths: see `epoch_plan`; so the others.
      batch_size: see above.
      max_seq_length: see above.
      widths: see above.
      groups: see above.

    Raises:
      ValueError: if there are no examples or a width does not fit.
    """
    lengths = np.asarray(lengths)
    _check(len(lengths), batch_size)
    batches = []
    for members in _members(len(lengths), groups):
        order = members[np.argsort(lengths[members], kind="stable")]
        num_full = len(order) // batch_size * batch_size
        batches.append(order[:num_full].reshape(-1, batch_size))
        batches.append(_short(order[num_full:], batch_size))
    indices = np.concatenate(batches)
    return indices, _widths(lengths, indices, max_seq_length, widths)


def num_batches(num_examples, batch_size, groups=None):
    """Returns S, the number of batches of an epoch: ceil(N / B), with groups that of each.

    Args:
      num_examples: N.
      batch_size: B.
      groups: see `epoch_plan`.
    """
    return sum(-(-len(members) // batch_size) for members in _members(num_examples, groups))


def fill(indices, multiple):
    """Adds columns of -1 to a plan, up to the next multiple.

    Args:
      indices: int array `[S, B]`.
      multiple: int of at least 1.

    Returns:
      An int array `[S, B rounded up]`.
    """
    missing = -indices.shape[1] % multiple
    return np.pad(indices, [(0, 0), (0, missing)], constant_values=-1)


def local_replicas(context):
    """Returns the numbers of a process' replicas, a range.

    Args:
      context: `tf.distribute.InputContext` of the process.
    """
    number = context.num_replicas_in_sync // context.num_input_pipelines
    first = context.input_pipeline_id * number
    return range(first, first + number)


def part(values, context):
    """Returns the rows of a plan for the replicas of a process.

    Args:
      values: array `[S, B]`.
      context: `tf.distribute.InputContext` of the process; its K replicas are of R.

    Returns:
      Array `[S K, B / R]`.
    """
    replicas, local = context.num_replicas_in_sync, local_replicas(context)
    rows = values.shape[1] // replicas
    return values.reshape(-1, replicas, rows)[:, local].reshape(-1, rows)


def check_run(num_steps, batch_size):
    """Raises ValueError where a run is so long that the plan of its batches fills the memory.

    Args:
      num_steps: number of batches.
      batch_size: B.
    """
    if not num_steps * batch_size <= MOST_EXAMPLES:
        raise ValueError(
            f"A run must take at most {MOST_EXAMPLES} examples, received {num_steps:.4g} steps of "
            f"{batch_size}; lower `num_train_epochs` or the number of steps."
        )


def _check(num_examples, batch_size):
    if num_examples < 1:
        raise ValueError("Batches need at least one example, received none.")
    if batch_size < 1:
        raise ValueError(f"Argument `batch_size` must be at least 1, received {batch_size}.")


def _members(num_examples, groups):
    """Returns the int32 indices of the examples of each group that there is."""
    if groups is None:
        return [np.arange(num_examples, dtype=np.int32)]
    return [np.flatnonzero(groups == one).astype(np.int32) for one in np.unique(groups)]


def _shuffled(members, lengths, batch_size, generator):
    """Returns the batches `[S, B]` of one group in random order, the short one last."""
    order = generator.permutation(members)
    # The short batch is cut off before the sorting: else it would hold the longest of a window.
    num_full = len(order) // batch_size * batch_size
    window = WINDOW_BATCHES * batch_size
    full = [
        part[np.argsort(lengths[part], kind="stable")]
        for part in np.split(order[:num_full], range(window, num_full, window))
    ]
    batches = generator.permutation(np.concatenate(full).reshape(-1, batch_size))
    return np.concatenate([batches, _short(order[num_full:], batch_size)])


def _short(rest, batch_size):
    """Returns the short batch as `[1, B]`, padded with -1, or `[0, B]` if nothing is left."""
    padded = np.full((min(1, len(rest)), batch_size), -1, np.int32)
    padded[:, : len(rest)] = rest
    return padded


def _widths(lengths, indices, max_seq_length, widths):
    """Returns the width of each batch."""
    longest = np.where(indices < 0, 0, lengths[indices]).max(axis=1)
    if longest.max() > max_seq_length:
        raise ValueError(
            f"Argument `max_seq_length` must be at least {longest.max()}, the longest example, "
            f"received {max_seq_length}."
        )
    if widths is None:
        rounded = -(-longest // WIDTH_STEP) * WIDTH_STEP
        return np.minimum(rounded, max_seq_length).astype(np.int32)
    widths = np.unique(widths)
    if longest.max() > widths[-1]:
        raise ValueError(
            f"Argument `widths` must reach {longest.max()}, the longest example, received "
            f"{widths.tolist()}."
        )
    return widths[np.searchsorted(widths, longest)].astype(np.int32)
