"""FLOP: factorize, evaluate and remove masks."""
