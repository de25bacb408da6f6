"""The whole model, encoder and task head: its class, the paths of its weights, and their counts."""
