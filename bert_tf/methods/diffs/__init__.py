"""Tasks as sparse differences to one frozen BERT: learned, projected, fine-tuned, used together."""
