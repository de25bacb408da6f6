"""Task heads: classifier, span and masked language model, and their losses."""
