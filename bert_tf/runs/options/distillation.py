"""Options of distillation."""

import dataclasses

from bert_tf.option_fields import option
from bert_tf.ranges import ABOVE_0, SHARE
from bert_tf.runs.layer_match import MATCHES


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillationOptions:
    """The teacher and the losses over its logits and hidden states."""

    teacher: str = option("", "Model directory whose logits the student learns.")
    distill_alpha: float = option(
        0.9, "Share of the distillation loss, with a teacher.", allowed=SHARE, needs="teacher"
    )
    distill_temperature: float = option(
        2.0, "Temperature of the distillation loss.", allowed=ABOVE_0, needs="teacher"
    )
    distill_layers: float = option(
        0.0,
        "Share of the distance to the teacher's hidden states, block by block.",
        allowed=SHARE,
        needs="teacher",
    )
    distill_match: str = option(
        "same",
        "Blocks that are compared: of the same number, or the nearest in order to four of the "
        "teacher's.",
        tuple(MATCHES),
        needs="distill_layers",
    )

    def check_rules(self):
        """Raises ValueError where the two shares leave less than nothing for the task."""
        if self.distill_layers + self.distill_alpha > 1:
            raise ValueError(
                "Arguments `distill_alpha` and `distill_layers` must add up to at most 1, received "
                f"{self.distill_alpha} and {self.distill_layers}; the rest is the task's share."
            )
