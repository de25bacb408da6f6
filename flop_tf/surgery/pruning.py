"""Pruning of a Keras model in one call: factorize, order the gates, train, remove."""

import numbers

import numpy as np
import tensorflow as tf

from flop_tf.budget.lagrangian import Lagrangian
from flop_tf.importance.rank_importance import order_gates, rank_importance
from flop_tf.surgery.keras_models import compact, factorize
from flop_tf.training.fix_gates import FixGates
from flop_tf.training.optimizers import BertAdam
from flop_tf.training.schedules import ALPHA_TRAVEL, LAMBDA_TRAVEL, RAMP

# As for a BERT: importance from 1600 examples in small batches, log_alpha of a rank at the
# boundary, and half of the training for the gates, the other half to recover.
_IMPORTANCE_EXAMPLES = 1600
_SMALL_BATCH = 8
_START = 3.0
_GATES_SHARE = 0.5
_BATCH = 32


def prune(
    model,
    data,
    loss,
    target_sparsity=0.5,
    epochs=10,
    optimizer=None,
    skip=(),
    seed=0,
    **fit,
):
    """Trains a smaller model from a dense one: fewer ranks in the layers that `factorize` takes.

    The kernels become two factors each with a hard-concrete gate over their ranks, which start in
    the order of their importance to the loss. In the first half of the training a Lagrangian
    closes them until the target is reached; in the second half the weights recover.

    >>> import numpy as np, tf_keras as keras, flop_tf
    >>> x = np.random.default_rng(0).normal(size=[64, 16]).astype("float32")
    >>> dense = keras.Sequential([keras.Input([16]), keras.layers.Dense(24), keras.layers.Dense(3)])
    >>> small = flop_tf.prune(dense, (x, x[:, :3]), "mse", target_sparsity=0.5, verbose=0)
    >>> dense.count_params(), small.count_params() <= 27 + 456 // 2
    (483, True)

    Args:
      model: a built functional or Sequential tf_keras model, with models nested in it at any depth;
        it stays as it is.
      data: a finite `tf.data.Dataset` of batches `(x, y)` or `(x, y, sample_weight)`; or a tuple of
        such arrays, which are shuffled in batches of 32.
      loss: as for `keras.Model.compile`: a name, a Keras loss, a function, or several by output.
      target_sparsity: float in [0, 1), the share of the parameters of the factorized kernels that
        is removed. Defaults to .5.
      epochs: int at least 1, passes over the data. Defaults to 10.
      optimizer: of the weights, new or a name. None is `BertAdam(1e-3)`.
      skip: names of layers that stay dense, such as the output layer; see `factorize`. Defaults to
        none.
      seed: int, of the order of arrays and of the draws of gates. Defaults to 0.
      **fit: of `keras.Model.fit`, such as `validation_data`, `callbacks` and `verbose`.

    Returns:
      The compact model, a `GatedModel` without gates and optimizer.

    Raises:
      ValueError: if the model cannot be factorized, see `factorize`; if the data have another form,
        no end or no batch; if there is no loss or no epoch; or if the target is out of reach or not
        in [0, 1).
    """
    _check(loss, target_sparsity, epochs)
    data = _batches(data, seed)
    gate = {"name": "hard_concrete", "config": {"axis": 0, "initial_log_alpha": _START}}
    gated = factorize(model, gate=gate, skip=skip)
    budget = gated.budget()
    with budget.calibrated(target_sparsity):
        pass  # Raises now rather than in the middle of the training if it is out of reach.
    fix_step = max(1, round(_GATES_SHARE * epochs * len(data)))
    _order(gated, budget, data, loss, target_sparsity)

    def of_gates(travel):
        return BertAdam(travel / fix_step, epsilon=1e-8)

    start = float(budget.expected_sparsity())
    gated.compile(
        BertAdam(1e-3) if optimizer is None else optimizer,
        loss=loss,
        gate_optimizer=of_gates(ALPHA_TRAVEL),
        multiplier_optimizer=of_gates(LAMBDA_TRAVEL),
        lagrangian=Lagrangian(target_sparsity, start, round(RAMP * fix_step)),
        sparsity=budget,
        seed=seed,
    )
    fixing = FixGates(budget, target_sparsity, fix_step)
    gated.fit(data, epochs=epochs, callbacks=[fixing, *(fit.pop("callbacks", None) or ())], **fit)
    return compact(gated)


def _check(loss, target_sparsity, epochs):
    """Raises ValueError where a number or the loss is of another type."""
    if not loss:
        raise ValueError(f"Argument `loss` is needed, such as 'mse', received {loss!r}.")
    if not isinstance(target_sparsity, numbers.Real):
        raise ValueError(
            f"Argument `target_sparsity` must be a number in [0, 1), received {target_sparsity!r}."
        )
    if not isinstance(epochs, numbers.Integral) or epochs < 1:
        raise ValueError(f"Argument `epochs` must be an int of at least 1, received {epochs!r}.")


def _batches(data, seed):
    """Returns a dataset of batches whose number is known."""
    is_dataset = isinstance(data, tf.data.Dataset)
    parts = data.element_spec if is_dataset else data
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        received = (
            f"{len(parts)} parts" if isinstance(parts, tuple | list) else type(parts).__name__
        )
        raise ValueError(
            "Argument `data` must be `(x, y)` or `(x, y, sample_weight)`, arrays or a dataset of "
            f"them in batches, received {received}."
        )
    if not is_dataset:
        data = _shuffled(tuple(map(_arrays, data)), seed)
    number = data.cardinality()
    if number == tf.data.UNKNOWN_CARDINALITY:
        number = data.reduce(np.int64(0), lambda count, *_: count + 1)
        data = data.apply(tf.data.experimental.assert_cardinality(number))
    if number < 1:
        raise ValueError(
            "Argument `data` must have a finite number of batches, at least 1, received "
            f"{'no end' if number == tf.data.INFINITE_CARDINALITY else 'none'}."
        )
    return data


def _arrays(part):
    """Returns inputs or targets as Keras' `fit` takes them: lists of several, or of numbers."""
    if not isinstance(part, list):
        return part
    is_several = len(part) > 0 and all(hasattr(one, "shape") for one in part)
    return tuple(part) if is_several else np.asarray(part)


def _shuffled(arrays, seed):
    sizes = sorted({len(one) for one in tf.nest.flatten(arrays)})
    if len(sizes) != 1 or not sizes[0]:
        raise ValueError(
            "Argument `data` must have arrays of one length of at least 1, received lengths of "
            f"{sizes}."
        )
    return tf.data.Dataset.from_tensor_slices(arrays).shuffle(sizes[0], seed=seed).batch(_BATCH)


def _order(model, budget, data, loss, target_sparsity):
    """Puts the gates of a model in the order of importance, as measured on single examples."""
    model.compile(loss=loss)
    small = data.unbatch().take(_IMPORTANCE_EXAMPLES).batch(_SMALL_BATCH)
    layers = [group.layer for group in budget.ranks]
    importance = rank_importance(
        model, layers, small, lambda y, y_pred: model.compute_loss(y=y, y_pred=y_pred)
    )
    order_gates(budget, importance, target_sparsity, _START)
