"""What subnetworks have in common, how large they are, and what their heads attend to.

A component is a head or an FFN block. Masks of components are boolean, true where one is kept.
"""
