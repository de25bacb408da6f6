"""Sweeps, reports, analyses and benchmarks of finished runs."""
