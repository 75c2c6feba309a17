"""Character encoders: from the letters of a word to a vector, one for each distinct spelling."""
