"""How much of a model is left: expected in training, stored after removal, and the Lagrangian."""
