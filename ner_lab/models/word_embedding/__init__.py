"""Word embeddings: vectors for words, random or from a file, trainable or fixed."""
