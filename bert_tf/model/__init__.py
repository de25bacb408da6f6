"""BERT: its architecture as a config, the encoder and the task heads."""
