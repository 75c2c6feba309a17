"""Corpora: reading, normalising, numbering and batching."""
