"""Feature sets: features of a sentence beyond its words and characters."""
