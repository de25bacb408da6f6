"""The engines that answer requests; one file a library, see `engine.Engine`."""

from bert_tf.serving.engines.engine import ENGINES, Engine, of_format
from bert_tf.serving.engines.process import Process, by_turns, num_threads

__all__ = ["ENGINES", "Engine", "Process", "by_turns", "num_threads", "of_format"]
