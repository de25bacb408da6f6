"""Masks compared: what they keep of heads and FFNs, how far they agree, and how large they are.

A component is a head or an FFN. Masks of components are boolean, true where one is kept.
"""
