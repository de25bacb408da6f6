"""Factorized, gated and fused dense layers, and the spec that makes them."""
