"""What a BERT costs by the heads and neurons of its sublayers: seconds on an engine, parameters.

N heads, F feed-forward, H hidden, D head size.
"""

import abc
import dataclasses

from bert_tf.encoders.config import EncoderConfig
from bert_tf.latency import LatencyTable
from bert_tf.models import model_info


class Cost(abc.ABC):
    """What a model costs, a sum over its sublayers and the rest."""

    @abc.abstractmethod
    def of_model(self, config):
        """Returns what a whole model costs, a number.

        Args:
          config: an `EncoderConfig` without gates.
        """

    @abc.abstractmethod
    def of_sublayer(self, path, number):
        """Returns what a sublayer costs more than one without units, a number.

        Args:
          path: of its units, such as `blocks.0.heads`.
          number: N or F.
        """


@dataclasses.dataclass(frozen=True)
class Latency(Cost):
    """Seconds, by the table of an engine at a shape.

    Args:
      table: a `LatencyTable`.
    """

    table: LatencyTable

    def of_model(self, config):
        """See `Cost`."""
        return self.table.predict(config)

    def of_sublayer(self, path, number):
        """See `Cost`."""
        of_units = self.table.attention if path.endswith("heads") else self.table.ffn
        return of_units(number)


@dataclasses.dataclass(frozen=True)
class Parameters(Cost):
    """Parameters: of a head `4 H D + 3 D`, of a neuron `2 H + 1`.

    Args:
      config: the `EncoderConfig` of the model.
    """

    config: EncoderConfig

    def of_model(self, config):
        """See `Cost`."""
        return model_info.num_parameters(config)

    def of_sublayer(self, path, number):
        """See `Cost`."""
        width, size = self.config.hidden_size, self.config.head_size
        return number * (size * (4 * width + 3) if path.endswith("heads") else 2 * width + 1)
