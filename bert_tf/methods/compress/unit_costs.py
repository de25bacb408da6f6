"""What a BERT costs by the heads and neurons of its sublayers: seconds, parameters, bytes.

N heads, F feed-forward, H hidden, D head size.
"""

import abc
import dataclasses
import math

from bert_tf.encoders.config import EncoderConfig
from bert_tf.latency import LatencyTable
from bert_tf.models import model_info
from bert_tf.models.weight_paths import WORD_EMBEDDINGS, WORD_PROJECTION, expected_shapes
from bert_tf.serving.formats import Format

#: The last parts of the paths of weights that formats hold in fewer bytes.
_MATRICES = (".kernel", ".factor_in", ".factor_out", WORD_EMBEDDINGS, WORD_PROJECTION)
# Bytes of a number in float32.
_FLOAT = 4


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
        return self.table.sublayer(path.rpartition(".")[2], number)


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


@dataclasses.dataclass(frozen=True)
class Bytes(Cost):
    """Bytes of the weights in an exported file, without those of its graph.

    With w bytes of a number and s of an output channel: of a head `D (4 H w + 3 s + 12)`, of a
    neuron `2 H w + s + 4`; a sublayer with any has `H s` more.

    Args:
      config: the `EncoderConfig` of the model.
      form: the `Format` of the file.
    """

    config: EncoderConfig
    form: Format

    def of_model(self, config):
        """See `Cost`."""
        return sum(self._of(path, shape) for path, shape in expected_shapes(config).items())

    def of_sublayer(self, path, number):
        """See `Cost`."""
        width, size = self.config.hidden_size, self.config.head_size
        columns, rows = (3 * size, size) if path.endswith("heads") else (1, 1)
        form = self.form
        of_column = width * form.weight_bytes + form.channel_bytes + _FLOAT
        of_unit = columns * of_column + rows * width * form.weight_bytes
        return number * of_unit + (width * form.channel_bytes if number else 0)

    def _of(self, path, shape):
        """Returns the bytes of a weight."""
        if not path.endswith(_MATRICES):
            return _FLOAT * math.prod(shape)
        return self.form.weight_bytes * math.prod(shape) + self.form.channel_bytes * shape[-1]
