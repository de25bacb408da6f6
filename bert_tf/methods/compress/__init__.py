"""Fewer heads, neurons and sublayers to a target on an engine: choosing, repair, recovery."""
