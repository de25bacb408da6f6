"""Options of pruning: masks, gates and the sparsity that they reach."""

import dataclasses
import functools

from bert_tf.encoders.config import PARENTS
from bert_tf.option_fields import FINE_TUNING, items, option
from bert_tf.ranges import FINITE, FROM_0, FROM_1, SHARE_ABOVE_0, SHARE_BELOW_1
from flop_tf import gates
from flop_tf.registry import nearest

#: What gates can switch.
GROUPS = ("ranks", "sublayers", *PARENTS)

_option = functools.partial(option, runs=FINE_TUNING)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PruningOptions:
    """Gates over ranks, magnitude masks of weights, and a mask that was made before."""

    mask: str = _option("", "Mask file: its units are removed, weights that it masks stay 0.")
    gate: str = _option(
        "",
        "Gates of a factorized model, or magnitude masks of a dense one; by --target_sparsity "
        "hard_concrete.",
        gates.PRUNING.after("", "none"),
    )
    groups: str = _option(
        "ranks",
        "What the gates switch, with commas: ranks of a factorized model, sublayers, heads, "
        "neurons.",
        list_of=str,
    )
    factorized: bool = _option(False, "Trains factors without gates, as the original does.")
    target_sparsity: float = _option(
        None,
        "Sparsity of the dense kernels to reach, in [0, 1); see --latency_table.",
        allowed=SHARE_BELOW_1,
    )
    latency_table: str = _option(
        "",
        "File of flop-benchmark --table: the target is the share of the dense model's latency to "
        "remove.",
    )
    target_sparsity_warmup: int = _option(
        None,
        "Steps to the target, 0 is at once; 4/5 of the gates' training, of magnitude masks all.",
        allowed=FROM_0,
    )
    mask_update_steps: int = _option(
        None,
        "Steps between two updates of magnitude masks; a hundredth of theirs, at least 10.",
        allowed=FROM_1,
    )
    gate_freeze_fraction: float = _option(
        0.5, "Share of the run after which gates are fixed.", allowed=SHARE_ABOVE_0
    )
    initial_log_alpha: float = _option(
        3.0, "Start of log_alpha, at the boundary if ordered.", allowed=FINITE
    )
    gate_order_examples: int = _option(
        1600,
        "Training examples whose gradients order new gates by importance; 0 starts all equal.",
        allowed=FROM_0,
    )
    alpha_learning_rate: float = option(
        None, "Rate of the gates; from the run's length.", allowed=FROM_0
    )
    lambda_learning_rate: float = _option(
        None, "Rate of the multipliers; from the run's length.", allowed=FROM_0
    )
    learning_rate_warmup: int = _option(
        0, "Steps in which the rates of gates and multipliers grow.", allowed=FROM_0
    )
    gate_schedule: str = _option(
        "constant", "Form of both rates after the warmup.", ("constant", "noam")
    )
    sparsity_base: str = _option(
        "dense", "Also shows sparsity over the factors, as the original.", ("dense", "factorized")
    )

    @property
    def gate_name(self):
        """Name of the gate that a model without gates gets, or None."""
        if self.factorized or self.gate == "none":
            return None
        if self.gate:
            return self.gate
        return None if self.target_sparsity is None else "hard_concrete"

    @property
    def kinds(self):
        """The names in `groups`, a list."""
        return items(self, "groups")

    @property
    def gated_units(self):
        """Those of `bert_tf.encoders.config.GATED_UNITS` that the groups name, a list."""
        found = [kind for kind in self.kinds if kind in PARENTS]
        return [*found, *(PARENTS.values() if "sublayers" in self.kinds else ())]

    def check_rules(self):
        """Raises ValueError where gates and their target exclude each other."""
        check_groups(self)
        if self.kinds != ["ranks"] and self.gate_name not in gates.CALIBRATED:
            raise ValueError(
                f"Argument `groups={self.groups}` needs gates that reach a `target_sparsity`, such "
                f"as hard_concrete, received gate={self.gate!r} and "
                f"target_sparsity={self.target_sparsity}."
            )
        if self.factorized and (self.gate or self.target_sparsity is not None):
            raise ValueError(
                "Argument `factorized` trains factors without gates, received "
                f"gate={self.gate!r} and target_sparsity={self.target_sparsity} next to it."
            )
        if self.gate == "none" and self.target_sparsity is not None:
            raise ValueError(
                "Argument `target_sparsity` needs gates, received gate='none' and "
                f"target_sparsity={self.target_sparsity}."
            )
        if self.latency_table:
            self._check_latency()
        if self.gate in gates.BY_MAGNITUDE and self.target_sparsity is None:
            raise ValueError(
                f"Argument `gate={self.gate}` needs `target_sparsity`, which its masks reach by a "
                "schedule, received none."
            )

    def _check_latency(self):
        """Raises ValueError where a latency table says nothing of what the gates switch."""
        if self.sparsity_base == "factorized":
            raise ValueError(
                "Argument `sparsity_base=factorized` counts parameters, received a `latency_table` "
                "next to it; leave one out."
            )
        if self.gate_name not in gates.CALIBRATED:
            raise ValueError(
                "Argument `latency_table` needs `target_sparsity` and gates that reach it, such as "
                f"hard_concrete, received gate={self.gate!r} and "
                f"target_sparsity={self.target_sparsity}."
            )


def check_groups(options, allowed=GROUPS):
    """Raises ValueError where the option `groups` names nothing, something else or one twice.

    Args:
      options: with `groups`.
      allowed: names; default `GROUPS`.
    """
    found = items(options, "groups")
    if not found or len(set(found)) < len(found):
        raise ValueError(
            f"Argument `groups` must name some of {', '.join(allowed)} once each, received "
            f"{options.groups!r}."
        )
    for kind in found:
        if kind not in allowed:
            raise ValueError(
                f"Argument `groups` must name some of {', '.join(allowed)}, received "
                f"{kind!r}{nearest(kind, allowed)}"
            )
