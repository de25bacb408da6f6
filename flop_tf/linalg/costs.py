"""What a projection costs: parameters and multiplications.

I inputs, O outputs, R rank. Sparsity and density of a model are always over
the kernels of the original dense projections.
"""

#: In place of a number of tokens: P · Q is never formed, for any batch.
NEVER = float("inf")

# P · Q is one more product to schedule and its gradient writes two more matrices, so the
# crossover lies above the formula's: measured forward and backward on two cores, see
# docs/performance.md.
_MERGE_OVERHEAD = 1.2


def dense_parameters(inputs, outputs):
    """Returns `I * O`, the kernel of a dense projection.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
    """
    return inputs * outputs


def unit_parameters(inputs, outputs):
    """Returns `I + O`, the parameters of one rank.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
    """
    return inputs + outputs


def factorized_parameters(inputs, outputs, rank):
    """Returns `R * (I + O)`, the two factors.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
      rank: R, int at least 0.
    """
    return rank * (inputs + outputs)


def break_even_rank(inputs, outputs):
    """Returns `I * O / (I + O)`, the rank at which two factors are as large as the kernel.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.

    Returns:
      A float; 0 where a size is 0.
    """
    return inputs * outputs / (inputs + outputs) if inputs and outputs else 0.0


def stored_densely(inputs, outputs, rank):
    """Returns whether a projection of this rank is stored as a kernel: above break-even.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
      rank: R, int at least 0.
    """
    return factorized_parameters(inputs, outputs, rank) > dense_parameters(inputs, outputs)


def stored_parameters(inputs, outputs, rank=None):
    """Returns the kernel parameters that removal stores, `min(I * O, R * (I + O))`.

    With rank None they are the parameters of the kernel.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
      rank: R, int at least 0, or None. Defaults to None.
    """
    full = dense_parameters(inputs, outputs)
    return full if rank is None else min(full, factorized_parameters(inputs, outputs, rank))


def kernel_parameters(inputs, outputs, rank=None):
    """Returns the parameters of factors or, with rank None, of a kernel, as they are.

    Each of them is one multiplication per token.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
      rank: R, int at least 0, or None. Defaults to None.
    """
    if rank is None:
        return dense_parameters(inputs, outputs)
    return factorized_parameters(inputs, outputs, rank)


def merge_above_tokens(inputs, outputs, rank):
    """Returns the number of tokens above which `x · (P · Q)` is cheaper than `(x · P) · Q`.

    For T tokens the first costs `R I O + T I O` multiplications, the second
    `T R (I + O)`. Below the break-even rank the second always wins: `NEVER`.

    Args:
      inputs: I, int at least 0.
      outputs: O, int at least 0.
      rank: R, int at least 0.

    Returns:
      An int, or `NEVER`.
    """
    saved = factorized_parameters(inputs, outputs, rank) - dense_parameters(inputs, outputs)
    if saved <= 0:
        return NEVER
    return int(_MERGE_OVERHEAD * rank * inputs * outputs / saved)


def merging_pays(tokens, inputs, outputs, rank):
    """Returns whether `tokens > merge_above_tokens(inputs, outputs, rank)`, also for tensors.

    Args:
      tokens: T, int or float scalar tensor.
      inputs: I, int at least 0.
      outputs: O, int at least 0.
      rank: R, int or float scalar tensor.

    Returns:
      A bool, or a boolean scalar tensor.
    """
    saved = factorized_parameters(inputs, outputs, rank) - dense_parameters(inputs, outputs)
    return tokens * saved > _MERGE_OVERHEAD * rank * inputs * outputs
