"""Which ranks, heads and neurons matter to the task, and gates that start in that order.

Gates that all start equal must find out by noisy draws which of them the task
needs, and a short run has no time for that. One look at the gradients answers most of it.
"""

import numpy as np
import tensorflow as tf

# Shift of a gate for a factor e of importance: steep enough that at the target most gates are
# clearly open or closed and few lie between.
_SLOPE = 5.0
# Largest distance of a gate from the gates of the ranks at the boundary.
_REACH = 12.0
# Share of the dense model's cost that a unit counts at least: measured ones may cost nothing.
_LEAST_COST = 1e-9


def rank_importance(model, projections, dataset, loss):
    """Returns how much the loss depends on every rank.

    `I_j = mean over batches of (z_j dL/dz_j)^2`, the Fisher information of a
    gate z_j; `z_j dL/dz_j = sum_o Q_jo dL/dQ_jo`, so no gate is needed.
    Small batches measure more, because gradients cancel out over a batch.

    Args:
      model: a Keras model; it runs in inference mode.
      projections: built `FactorizedDense` layers of it.
      dataset: batches `(x, y)`; what follows y is ignored.
      loss: function of `(y, y_pred)` that returns a scalar.

    Returns:
      A float64 array `[R]` for each projection.

    Raises:
      ValueError: if there are no projections or the dataset has no batch.
    """
    if not projections:
        raise ValueError(
            "Argument `projections` must have at least one FactorizedDense layer, received none."
        )
    return row_importance(model, [(layer.factor_out, 1) for layer in projections], dataset, loss)


def group_importance(model, groups, dataset, loss):
    """Returns how much the loss depends on every unit, see `rank_importance`.

    A unit scales the rows of the matrix that follows it, `z_j dL/dz_j = sum_io W_io dL/dW_io` over
    its rows i.

    Args:
      model: a Keras model; it runs in inference mode.
      groups: list of `flop_tf.budget.groups.Group` of its units.
      dataset: see `rank_importance`.
      loss: see `rank_importance`.

    Returns:
      A float64 array `[U]` for each group.

    Raises:
      ValueError: if the dataset has no batch.
    """
    return row_importance(model, [(group.rows, group.width) for group in groups], dataset, loss)


def row_importance(model, matrices, dataset, loss):
    """Returns how much the loss depends on rows of matrices, see `group_importance`.

    Args:
      model: a Keras model; it runs in inference mode.
      matrices: list of `(variable, width)`, as many rows a unit.
      dataset: see `rank_importance`.
      loss: see `rank_importance`.

    Returns:
      A float64 array `[U]` for each matrix.

    Raises:
      ValueError: if the dataset has no batch.
    """
    factors = [factor for factor, _ in matrices]
    total = [
        tf.Variable(tf.zeros([factor.shape[0] // width], tf.float64)) for factor, width in matrices
    ]

    # A `tf.data.Dataset` has the shapes of its batches beforehand: one trace for all.
    spec = getattr(dataset, "element_spec", None)

    @tf.function(input_signature=spec and spec[:2], reduce_retracing=True)
    def add(x, y):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(factors)
            value = loss(y, model(x, training=False))
        gradients = tape.gradient(value, factors)
        for entry, (factor, width), gradient in zip(total, matrices, gradients, strict=True):
            by_gate = tf.reduce_sum(factor * gradient, axis=1)
            if width > 1:
                by_gate = tf.reduce_sum(tf.reshape(by_gate, [-1, width]), axis=1)
            entry.assign_add(tf.cast(tf.square(by_gate), tf.float64))

    batches = 0
    for x, y, *_ in dataset:
        add(x, y)
        batches += 1
    if not batches:
        raise ValueError("Argument `dataset` must have at least one batch, received none.")
    return [entry.numpy() / batches for entry in total]


def order_gates(sparsity, importance, target_sparsity, start):
    """Sets every gate by the importance of its unit for what the unit costs.

    `value_j = start + 5 log((I_j / c_j) / v)`, at most 12 from `start`, with
    c_j the cost of the unit, parameters such as I + O of a rank or seconds, and v the worth at
    which removal stores the model at the target. So the units at the boundary start at
    `start`: units that the target has no room for below it, the others above.

    Args:
      sparsity: the `CostBudget` of a model with gates.
      importance: list of float arrays `[U]`, as `group_importance` returns for `sparsity.steered`.
      target_sparsity: float below 1, the stored sparsity to reach.
      start: float, value of a unit at the boundary; log_alpha of hard-concrete gates.

    Raises:
      ValueError: if there are no gates, or the target is out of reach with all of them closed.
    """
    if not sparsity.gates:
        raise ValueError(
            "Argument `sparsity` must have gates to be ordered, received one without gates."
        )
    worth = [
        np.log(values + np.finfo(np.float64).tiny)
        - np.log(max(group.unit_cost, _LEAST_COST * sparsity.dense_cost))
        for values, group in zip(importance, sparsity.steered, strict=True)
    ]
    middle = np.median(np.concatenate(worth))
    edges = []
    for gate, values in zip(sparsity.gates, worth, strict=True):
        gate.reset(0.0)
        edges.append(gate.opens_at())
        gate.shift(np.clip(_SLOPE * (values - middle), -50.0, 50.0))
    sparsity.calibrate(target_sparsity)
    for gate, edge in zip(sparsity.gates, edges, strict=True):
        from_boundary = np.float32(edge - gate.opens_at()) - np.float32(edge)
        gate.reset(start)
        gate.shift(np.clip(from_boundary, -_REACH, _REACH))
