"""How long an engine takes for an architecture, from a table that was measured once."""

from bert_tf.latency.latency_table import LatencyTable

__all__ = ["LatencyTable"]
