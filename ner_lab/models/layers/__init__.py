"""Recurrent layers over ragged batches, and their cells."""
