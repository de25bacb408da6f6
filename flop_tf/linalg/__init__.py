"""Formulas on arrays, a function each: SVD, merging, balancing, costs of ranks, rankings."""
