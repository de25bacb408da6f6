"""What a projection is made of, as plain data: dense or factorized, with or without a gate."""

import dataclasses

from flop_tf import gates
from flop_tf.backend import keras
from flop_tf.factorized import FactorizedDense
from flop_tf.gated_dense import GatedDense


@dataclasses.dataclass(frozen=True)
class ProjectionSpec:
    """How one projection `[.., I] -> [.., O]` is stored.

    Args:
      rank: None for a dense kernel `[I, O]`; otherwise R >= 0 for factors
        `[I, R]` and `[R, O]`. With R = 0 only the bias is left.
      gate: serialized gate (`flop_tf.gates.serialize`) over the R ranks, or over
        the weights of a dense kernel, or None.

    Raises:
      ValueError: if the rank is negative or the gate is no dict.
    """

    rank: int | None = None
    gate: dict | None = None

    def __post_init__(self):
        if self.rank is not None and self.rank < 0:
            raise ValueError(f"Argument `rank` must be None or at least 0, received {self.rank}.")
        if not isinstance(self.gate, dict | None):
            raise ValueError(
                f"Argument `gate` must be None or a serialized gate, received {self.gate!r}."
            )

    def make(self, units, **kwargs):
        """Returns the layer with `units` outputs: a `Dense`, `GatedDense` or `FactorizedDense`."""
        gate = None if self.gate is None else gates.deserialize(self.gate)
        if self.rank is None:
            dense = keras.layers.Dense
            return dense(units, **kwargs) if gate is None else GatedDense(units, gate, **kwargs)
        return FactorizedDense(units, self.rank, gate=gate, **kwargs)
