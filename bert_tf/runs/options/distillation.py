"""Options of distillation."""

import dataclasses

from bert_tf.option_fields import option
from bert_tf.ranges import ABOVE_0, SHARE


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillationOptions:
    """The teacher and the loss over its logits."""

    teacher: str = option("", "Model directory whose logits the student learns.")
    distill_alpha: float = option(
        0.9, "Share of the distillation loss, with a teacher.", allowed=SHARE, needs="teacher"
    )
    distill_temperature: float = option(
        2.0, "Temperature of the distillation loss.", allowed=ABOVE_0, needs="teacher"
    )
