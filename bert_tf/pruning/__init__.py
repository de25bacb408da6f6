"""The steps of the FLOP chain and the surgeries on a BERT."""
