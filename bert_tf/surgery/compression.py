"""The surgeries of FLOP on a BERT: dense to factorized, to gated, to compact."""

import dataclasses

import numpy as np
import tensorflow as tf

from bert_tf.models import weight_paths
from bert_tf.models.bert import BertModel
from bert_tf.models.weight_paths import POOLER, in_encoder
from bert_tf.surgery import units
from flop_tf import ProjectionSpec, gates, surgery
from flop_tf.linalg import costs, factorization
from flop_tf.registry import nearest

# Seeds of gates, apart from the seeds of the encoder's dropouts.
_GATE_SEEDS = 1 << 20

#: How each weight of a factorized model came about, as the original's log calls it.
CARRIED, FACTORIZED, NEW = "INIT_FROM_CKPT", "PASSED", "NOT_INIT_FROM_CKPT"


def factorize(source, *, rank="full", density=None, statistics=None, split=None, keep_head=True):
    """Returns a factorized model of a dense BERT, and how each weight came about.

    Args:
      source: a `bert_tf.checkpoints.Source`; projections that are not dense stay as they are.
      rank: "full" or an int, see `flop_tf.linalg.factorization.choose_rank`.
      density: D times the break-even rank instead.
      statistics: arrays by the projection's path for `split`, or None.
      split: function `(kernel, statistic, rank) -> (P, Q)`; None is the plain SVD.
      keep_head: whether the task head is carried over, where there is one.

    Returns:
      `(BertModel, {weight path: CARRIED, FACTORIZED or NEW})`.

    Raises:
      ValueError: if a rank does not fit.
    """
    specs = {
        (index, name): ProjectionSpec(factorization.choose_rank(*shape, rank, density))
        for index, name, spec, shape in source.config.projections()
        if spec == ProjectionSpec()
    }
    weights = {p: array for p, array in source.weights.items() if keep_head or in_encoder(p)}
    origin = dict.fromkeys(weights, CARRIED)
    config, weights = with_factors(source.config, weights, specs, statistics, split)
    origin |= dict.fromkeys(weights.keys() - origin.keys(), FACTORIZED)
    model = BertModel(config)
    surgery.assign_weights(model, weights, new=[*model.head.weights, *POOLER])
    return model, {path: origin.get(path, NEW) for path in model.get_weight_paths()}


def with_factors(config, weights, specs, statistics=None, split=None):
    """Returns config and weights of a model some of whose dense projections become two factors.

    Args:
      config: an `EncoderConfig`.
      weights: its arrays by our weight paths.
      specs: dict of `ProjectionSpec` by `(block index, name)`; those without a rank stay.
      statistics: see `factorize`; so `split`.
      split: see above.
    """
    weights = dict(weights)
    for (index, name), spec in specs.items():
        if spec.rank is None:
            continue
        path = f"blocks.{index}.{name}"
        kernel = weights.pop(f"encoder.{path}.kernel")
        factors = _split(kernel, spec.rank, split, None if statistics is None else statistics[path])
        weights |= {f"encoder.{path}.{factor}": array for factor, array in factors.items()}
    return config.with_projections(specs), weights


def with_gates(config, name, **arguments):
    """Returns a config with a gate on every projection that such gates are for.

    Gates of `flop_tf.gates.CALIBRATED` stand over the ranks of factorized projections, each
    with its own seed, gates of `BY_MAGNITUDE` over the weights of dense ones.

    Args:
      config: an `EncoderConfig`.
      name: of the gate, one of `flop_tf.gates.PRUNING`.
      **arguments: of the gate.

    Raises:
      ValueError: if the gate is unknown or it is not for these projections.
    """
    if name not in gates.PRUNING:
        raise ValueError(f"Unknown gate {name!r}{nearest(name, gates.PRUNING)}")
    if name in gates.BY_MAGNITUDE:
        return _with_gates_over_kernels(config, name, arguments)
    gated = {}
    for number, (index, projection, spec, _) in enumerate(config.projections()):
        if spec.rank:
            seed = gates.accepted(name, seed=_GATE_SEEDS + number)
            gate = {"name": name, "config": {"axis": 0, **seed, **arguments}}
            gated[index, projection] = ProjectionSpec(spec.rank, gate)
    if not gated:
        raise ValueError(
            "Gates need a factorized model, but all projections of the checkpoint are dense; "
            "factorize it first with factorize.py, or prune single weights by a gate of "
            f"{', '.join(gates.BY_MAGNITUDE)}."
        )
    return config.with_projections(gated)


def remove_masks(model, threshold=0.0):
    """Returns the compact model of a gated one; no gate is left.

    Masks over the weights of kernels become zeros of dense kernels, see `kernel_masks`.

    Args:
      model: a `BertModel`.
      threshold: in [0, 1); inference gates up to it are dropped too. The gates
        of `model` take it over, so that the two models stay equal.

    Raises:
      ValueError: if the threshold is out of range or the model has no gates.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"Argument `threshold` must be in [0, 1), received {threshold}.")
    if not model.gates:
        raise ValueError("The model has no gates, so that there is nothing to remove.")
    for gate in model.gates:
        if hasattr(gate, "threshold"):
            gate.threshold = max(gate.threshold, threshold)
    _check_tied(model)
    specs, weights = {}, surgery.named_weights(model)
    for (index, name, *_), (path, layer) in zip(
        model.config.projections(), model.encoder.projections(), strict=True
    ):
        specs[index, name], kept = surgery.compact_projection(layer)
        for part in [part for part in weights if part.startswith(f"encoder.{path}.")]:
            if not part.endswith(".bias"):
                del weights[part]
        weights |= {f"encoder.{path}.{part}": array for part, array in kept.items()}
    for path, gate, variable in model.encoder.weight_gates():
        weights[f"encoder.{path}"] = gate(tf.convert_to_tensor(variable), training=False).numpy()
    for path in [path for path in weights if path.startswith(tuple(weight_paths.GATES.values()))]:
        del weights[path]
    values = {path: gate.mask(training=False).numpy() for path, gate in model.encoder.unit_gates()}
    config = dataclasses.replace(model.config.with_projections(specs), gates={})
    config, weights = units.remove(config, weights, values)
    config, weights = _with_kernels(config, weights, costs.stored_densely)
    compact = BertModel(config)
    surgery.assign_weights(compact, weights)
    return compact


def merged(config, weights):
    """Returns config and weights with kernels in place of the factors of all projections.

    Args:
      config: an `EncoderConfig` without gates on projections.
      weights: its arrays by our weight paths.
    """
    return _with_kernels(config, weights, lambda *_: True)


def kernel_masks(model):
    """Returns the masks over single weights of a model, boolean arrays by path.

    The paths are as in `bert_tf.surgery.masks`, such as `blocks.0.query.kernel`.

    Args:
      model: a `BertModel`.
    """
    return {path: gate.keep().numpy() for path, gate, _ in model.encoder.weight_gates()}


def largest_difference(first, second, dataset):
    """Returns the largest absolute difference of two models' logits over batches, or NaN.

    Args:
      first: a model.
      second: another one.
      dataset: batches, tuples that begin with the features.
    """
    differences = [
        np.abs(first(features, training=False) - second(features, training=False)).max()
        for features, *_ in dataset
    ]
    return float(np.max(differences))  # Python's `max` would lose a NaN.


def _with_kernels(config, weights, condition):
    """Returns config and weights with `P Q` in place of factors where `condition(I, O, R)`."""
    specs, weights = {}, dict(weights)
    for index, name, spec, shape in config.projections():
        if spec.rank and condition(*shape, spec.rank):
            path = f"encoder.blocks.{index}.{name}"
            factors = [weights.pop(f"{path}.{part}") for part in ("factor_in", "factor_out")]
            weights[f"{path}.kernel"] = factorization.merge(*factors)
            specs[index, name] = ProjectionSpec()
    return config.with_projections(specs), weights


def _check_tied(model):
    if "word_embeddings" in model.config.gates and model.head.is_tied:
        raise ValueError(
            "The mask over the word embedding cannot be removed from a model with the head "
            f"{model.config.head!r}, which reads the embedding without it; fine-tune the model on "
            "a task first, or keep the mask in its file."
        )


def _split(kernel, rank, split, statistic):
    if split is None:
        return surgery.factorize_kernel(kernel, ProjectionSpec(rank))
    return surgery.factorize_kernel(
        kernel, ProjectionSpec(rank), lambda matrix, r: split(matrix, statistic, r)
    )


def _with_gates_over_kernels(config, name, arguments):
    gated = {}
    for index, projection, spec, _ in config.projections():
        if spec.rank:
            raise ValueError(
                f"The gate {name!r} needs a model whose projections are dense, but "
                f"blocks.{index}.{projection} has factors of rank {spec.rank}; take the dense "
                "model, or a gate of "
                f"{', '.join(gates.CALIBRATED)}."
            )
        if spec.rank is None:
            named = {"axis": None, "name": f"block_{index}_{projection}_gate", **arguments}
            gated[index, projection] = ProjectionSpec(gate={"name": name, "config": named})
    return config.with_projections(gated)
