"""The training step of gated models, optimizers, schedules and callbacks."""
