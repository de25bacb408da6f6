"""Importance of ranks, heads and FFNs from gradients."""
