"""Import of pretrained and fine-tuned BERTs; one file a format, each with its name table."""

from bert_tf.checkpoints.source import Source, read_live_encoder, read_source

__all__ = ["Source", "read_live_encoder", "read_source"]
