"""Texts to ids: WordPiece, and the files that describe a tokenizer."""
