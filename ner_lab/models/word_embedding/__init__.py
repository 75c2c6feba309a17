"""Word embeddings: vectors for words, random or from a file, trained on or left alone."""
