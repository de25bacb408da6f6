"""How inference computes a BERT: a plan that stands next to its config and changes no output."""

import dataclasses

from bert_tf.encoders.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class Execution:
    """The forms of the operations of one model, plain data.

    The default is the one of training. Exports choose another one by measurement, see
    `bert_tf.serving.execution_plan`. A model has one; where the same weights are traced in several
    forms, as by `bert_tf.serving.served_model`, scopes (`attention.by_einsums`) choose the form.

    Args:
      fused_blocks: sorted indexes of the blocks whose query, key and value share their first
        product, see `bert_tf.encoders.encoder.FusedBlock`; default none.
      fused_layer_norm: whether inference computes LayerNorm in one operation, see
        `bert_tf.encoders.layer_norm`; default True.
      einsum_attention: whether attention is computed by einsums, see
        `bert_tf.encoders.attention.EinsumAttention`; default False.
    """

    fused_blocks: tuple[int, ...] = ()
    fused_layer_norm: bool = True
    einsum_attention: bool = False

    def __post_init__(self):
        object.__setattr__(self, "fused_blocks", tuple(self.fused_blocks))  # JSON has lists.

    def to_dict(self):
        """Returns the constructor's arguments, plain data as JSON gives it back."""
        return {**dataclasses.asdict(self), "fused_blocks": list(self.fused_blocks)}


#: The execution of training, and of every model that is not exported.
TRAINING = Execution()


class Described:
    """What a Keras layer of an `EncoderConfig` and an `Execution` writes to its own config."""

    def described(self):
        """Returns both as plain data."""
        return {"config": self.config.to_dict(), "execution": self.execution.to_dict()}

    @classmethod
    def from_config(cls, config):
        """Builds a layer from `get_config`.

        Args:
          config: dict, of `get_config`.
        """
        config = dict(config)
        architecture = EncoderConfig.from_dict(config.pop("config"))
        return cls(architecture, Execution(**config.pop("execution", {})), **config)
