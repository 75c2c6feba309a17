"""Corpora: reading, normalising, encoding and batching."""
