"""The BERT encoder, its config, and the paths and counts of its weights."""
