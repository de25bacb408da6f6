"""How far a format may be from the model that it is made of."""

import dataclasses
import math

# With fewer examples, as many labels may flip and as many points be lost as with this number: a
# few examples that are close to another class mean nothing.
_FEWEST_EXAMPLES = 400


@dataclasses.dataclass(frozen=True)
class Limits:
    """The highest figures at which a format is kept.

    Float32 in another order of operations has a known error, so that its largest difference is
    bounded. With fewer bits there are outliers, and the largest of some thousand differences is a
    matter of luck: most of the logits, the labels and the score decide.

    Args:
      largest_difference: of the logits, see `bert_tf.serving.comparison.Comparison.figures`.
      percentile_99: of their differences.
      largest_angle: `1 - cos` of a vector that is the answer, in [0, 2].
      flips: share of the examples, or of tagged words, that get another label, in [0, 1].
      lost_points: of the task's primary metric, 100 a unit.
    """

    largest_difference: float = math.inf
    percentile_99: float = math.inf
    largest_angle: float = math.inf
    flips: float = math.inf
    lost_points: float = math.inf

    def exceeded(self, figures, num_examples):
        """Returns a clause that says which limit is exceeded, or "".

        Args:
          figures: see `bert_tf.serving.comparison.Comparison.figures`.
          num_examples: number of examples of the figures, at least 1.
        """
        if figures["largest_difference"] is None:
            return "a logit is no finite number"
        if figures["largest_difference"] > self.largest_difference:
            return (
                f"a logit differs by {figures['largest_difference']:.2e} of the largest one, "
                f"above {self.largest_difference:g}"
            )
        if figures["percentile_99"] > self.percentile_99:
            return (
                f"1 % of the logits differ by {figures['percentile_99']:.2e} of the largest one or "
                f"more, above {self.percentile_99:g}"
            )
        angle = figures["largest_angle"]
        if angle is not None and angle > self.largest_angle:
            return f"a vector has turned by {angle:.2e} in 1 - cos, above {self.largest_angle:g}"
        slack = max(1, _FEWEST_EXAMPLES / num_examples)
        flips, lost = figures["flips"], figures["lost_points"]
        if flips is not None and flips > slack * self.flips:
            return (
                f"{100 * flips:.2f} % of the labels are other ones, above "
                f"{100 * slack * self.flips:.3g} %"
            )
        if lost is not None and lost > slack * self.lost_points:
            return f"{lost:.2f} points of the score are lost, above {slack * self.lost_points:.3g}"
        return ""
