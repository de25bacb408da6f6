"""How much each head and neuron of a BERT matters: what it writes, or what the loss says of it.

M tokens, N heads, D head size, F feed-forward, U units, W their width.
"""

import typing

import numpy as np
import tensorflow as tf

from bert_tf.surgery.token_sums import token_sums
from flop_tf.importance.energy import output_energy
from flop_tf.importance.rank_importance import row_importance


class UnitEnergy(typing.NamedTuple):
    """What the units of a sublayer write.

    Args:
      energy: float64 `[U]`, see `flop_tf.importance.energy.output_energy`, or Fisher information.
      mean: float64 `[U W]`, the mean inputs of the output projection, units one after the other.
    """

    energy: np.ndarray
    mean: np.ndarray


def unit_energies(model, dataset):
    """Returns the output energy of every head and neuron.

    Covariances and means are over the tokens of all batches, padding excluded; dropout is off.

    Args:
      model: a `BertModel` whose output projections are dense.
      dataset: `tf.data.Dataset` of batches `(features, ...)`.

    Returns:
      Dict of `UnitEnergy` by path, such as `blocks.0.heads` and `blocks.0.neurons`.
    """

    def sums(blocks, real):
        found = {}
        for index, received in enumerate(blocks):
            layer = model.config.layers[index]
            if layer.num_heads:
                rows = tf.boolean_mask(received["attention_output"], real)
                rows = tf.reshape(rows, [-1, layer.num_heads, rows.shape[1] // layer.num_heads])
                found[f"blocks.{index}.heads"] = (
                    tf.einsum("mnd,mne->nde", rows, rows),
                    tf.reduce_sum(rows, axis=0),
                )
            if layer.intermediate_size:
                rows = tf.boolean_mask(received["ffn_out"], real)
                found[f"blocks.{index}.neurons"] = (
                    tf.reduce_sum(tf.square(rows), axis=0),
                    tf.reduce_sum(rows, axis=0),
                )
        return found

    total, tokens = token_sums(model, dataset, sums)
    found = {}
    for path, (second, first) in total.items():
        mean = first / tokens
        outer = mean[:, :, None] * mean[:, None] if mean.ndim == 2 else mean**2
        kernel = output_projection(model, path).kernel.numpy()
        found[path] = UnitEnergy(output_energy(second / tokens - outer, kernel), mean.ravel())
    return found


def with_fisher(energies, model, dataset, loss):
    """Returns what units write, with the Fisher information of a gate on each as their energy.

    `I_u = mean over batches of (z_u dL/dz_u)^2`, see `rank_importance`; it needs labels.

    Args:
      energies: of `unit_energies`.
      model: the same `BertModel`.
      dataset: `tf.data.Dataset` of small batches `(features, labels, ...)`.
      loss: function of labels and logits that returns a scalar.

    Returns:
      Dict of `UnitEnergy` by path.
    """
    matrices = [
        (output_projection(model, path).kernel, len(found.mean) // len(found.energy))
        for path, found in energies.items()
    ]
    fisher = row_importance(model, matrices, dataset, loss)
    return {
        path: found._replace(energy=values)
        for (path, found), values in zip(energies.items(), fisher, strict=True)
    }


def output_projection(model, path):
    """Returns the layer that the units of a sublayer lead to.

    Args:
      model: a `BertModel`.
      path: of the units, such as `blocks.0.heads`.
    """
    _, index, kind = path.split(".")
    block = model.encoder.blocks[int(index)]
    return block.attention_output if kind == "heads" else block.ffn_out
