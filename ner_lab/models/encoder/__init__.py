"""Encoders: from the vectors of a sentence's words to contextual states."""
