"""What a BERT costs by what its sublayers keep: seconds, parameters, multiplications, bytes.

N heads, F feed-forward, H hidden, D head size.
"""

import abc
import dataclasses
import math

from bert_tf.encoders.config import LayerConfig
from bert_tf.latency import LatencyTable
from bert_tf.models import model_info
from bert_tf.models.weight_paths import WORD_EMBEDDINGS, WORD_PROJECTION, expected_shapes
from bert_tf.serving import execution_plan
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

    def of_cuts(self, config, path, cuts):
        """Returns what a sublayer costs more than one without units, by what it keeps, a list.

        Args:
          config: the `EncoderConfig` of the model, its projections dense.
          path: of the sublayer's units, such as `blocks.0.heads`.
          cuts: list of `bert_tf.methods.compress.unit_choice.Cut`.
        """
        _, index, kind = path.split(".")
        empty = LayerConfig(0, 0)
        alone = {"intermediate_size": 0, "projections": {}, "has_ffn": True}
        layer = empty
        if kind == "heads":  # They may be narrow.
            layer = dataclasses.replace(config.layers[int(index)], **alone)
        one = dataclasses.replace(config, num_hidden_layers=1, layers=(layer,))
        layers = [empty, *(cut.applied(one, 0, kind) for cut in cuts)]
        nothing, *found = (self.of_model(dataclasses.replace(one, layers=(x,))) for x in layers)
        return [cost - nothing for cost in found]


@dataclasses.dataclass(frozen=True)
class Latency(Cost):
    """Seconds, by the table of an engine at a shape, in the forms that the engine computes fastest.

    Args:
      table: a `LatencyTable`.
    """

    table: LatencyTable

    def of_model(self, config):
        """See `Cost`."""
        return self.table.predict(execution_plan.choose(config, self.table)[0].config)


@dataclasses.dataclass(frozen=True)
class Parameters(Cost):
    """Parameters: of a head `4 H D + 3 D`, of a neuron `2 H + 1`."""

    def of_model(self, config):
        """See `Cost`."""
        return model_info.num_parameters(config)


@dataclasses.dataclass(frozen=True)
class Multiplications(Cost):
    """Multiplications of a request, see `model_info.multiplications_per_token`.

    Args:
      shape: `(B, T)` of the request.
    """

    shape: tuple

    def of_model(self, config):
        """See `Cost`."""
        batch, length = self.shape
        return batch * length * model_info.multiplications_per_token(config, length)


@dataclasses.dataclass(frozen=True)
class Bytes(Cost):
    """Bytes of the weights in an exported file, without those of its graph.

    With w bytes of a number and s of an output channel: of a head `D (4 H w + 3 s + 12)`, of a
    neuron `2 H w + s + 4`; a sublayer with any has `H s` more.

    Args:
      form: the `Format` of the file.
    """

    form: Format

    def of_model(self, config):
        """See `Cost`."""
        return sum(self._of(path, shape) for path, shape in expected_shapes(config).items())

    def _of(self, path, shape):
        """Returns the bytes of a weight."""
        if not path.endswith(_MATRICES):
            return _FLOAT * math.prod(shape)
        return self.form.weight_bytes * math.prod(shape) + self.form.channel_bytes * shape[-1]
