"""Recurrent layers over ragged batches, and the cells they run."""
