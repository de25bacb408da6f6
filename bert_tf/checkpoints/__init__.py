"""Import of pretrained and fine-tuned BERTs; one file a format."""

from bert_tf.checkpoints.reading import read_architecture, read_live_encoder, read_source
from bert_tf.checkpoints.source import Source
