"""Smaller encoders from larger ones: units, masks and removal, on configs and weights by path."""
