"""Character encoders: from the characters of a word to a vector, one for each distinct spelling."""
