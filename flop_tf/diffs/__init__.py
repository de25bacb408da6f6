"""Tasks as sparse differences to a frozen model."""
