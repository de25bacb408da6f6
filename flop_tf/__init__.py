"""FLOP for Keras: factorized layers, hard-concrete gates, a Lagrangian and the surgery after it."""

from flop_tf.budget.budget import Budget
from flop_tf.budget.lagrangian import Lagrangian
from flop_tf.gates import Gate, HardConcrete
from flop_tf.importance.rank_importance import order_gates, rank_importance
from flop_tf.layers.factorized_attention import FactorizedMultiHeadAttention
from flop_tf.layers.factorized_dense import FactorizedDense
from flop_tf.layers.factorized_einsum import FactorizedEinsumDense
from flop_tf.layers.projection import ProjectionSpec
from flop_tf.surgery import compact, factorize, prune
from flop_tf.training.fix_gates import FixGates
from flop_tf.training.gated_model import GatedModel
from flop_tf.training.optimizers import BertAdam, BertAdamax

__all__ = [
    "BertAdam",
    "BertAdamax",
    "FactorizedDense",
    "FactorizedEinsumDense",
    "FactorizedMultiHeadAttention",
    "FixGates",
    "Gate",
    "GatedModel",
    "HardConcrete",
    "Budget",
    "Lagrangian",
    "ProjectionSpec",
    "compact",
    "factorize",
    "order_gates",
    "prune",
    "rank_importance",
]
