"""FLOP for Keras: factorized layers, hard-concrete gates, a Lagrangian and the surgery after it."""

from flop_tf.factorized import FactorizedDense
from flop_tf.factorized_einsum import FactorizedEinsumDense
from flop_tf.gates import Gate, HardConcrete
from flop_tf.importance import order_gates, rank_importance
from flop_tf.lagrangian import Lagrangian
from flop_tf.optimizers import BertAdam, BertAdamax
from flop_tf.projection import ProjectionSpec
from flop_tf.sparsity import KernelSparsity
from flop_tf.surgery import compact, factorize
from flop_tf.training import FixGates, GatedModel

__all__ = [
    "BertAdam",
    "BertAdamax",
    "FactorizedDense",
    "FactorizedEinsumDense",
    "FixGates",
    "Gate",
    "GatedModel",
    "HardConcrete",
    "KernelSparsity",
    "Lagrangian",
    "ProjectionSpec",
    "compact",
    "factorize",
    "order_gates",
    "rank_importance",
]
