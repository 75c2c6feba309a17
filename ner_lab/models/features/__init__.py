"""Feature sets: what is read off a sentence beside its words and letters."""
