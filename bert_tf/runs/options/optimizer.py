"""Options of the weights' training."""

import dataclasses

from bert_tf.option_fields import FINE_TUNING, option
from bert_tf.ranges import FROM_0, SHARE_BELOW_1
from bert_tf.runs import optimization


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """The weights' optimizer and regularization."""

    optimizer: str = option(
        "adamw",
        "Adam of BERT, or Adamax as MT-DNN trains BERT.",
        tuple(optimization.OPTIMIZERS),
        runs=FINE_TUNING,
    )
    learning_rate: float = option(
        5e-5, "Rate of the weights, decays to 0; 0 trains gates alone.", allowed=FROM_0
    )
    warmup_proportion: float = option(
        0.1,
        "Share of the run in which the rate of the weights grows, below 1.",
        allowed=SHARE_BELOW_1,
    )
    weight_decay: float = option(0.01, "Decoupled decay of kernels and embeddings.", allowed=FROM_0)
    regularization_scale: float = option(
        0.0, "L2 on kernels and factors.", allowed=FROM_0, runs=FINE_TUNING
    )
    hidden_dropout_prob: float = option(
        None, "Dropout of hidden states; by default the checkpoint's.", allowed=SHARE_BELOW_1
    )
    attention_probs_dropout_prob: float = option(
        None, "Dropout of attention; by default the checkpoint's.", allowed=SHARE_BELOW_1
    )
