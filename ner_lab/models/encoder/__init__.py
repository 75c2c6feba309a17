"""Encoders: from the vectors of a sentence's words to states that know their context."""
