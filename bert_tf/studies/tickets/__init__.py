"""Lottery tickets of several tasks and seeds: where they are, how they score, and their report."""
