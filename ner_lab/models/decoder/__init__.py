"""Decoders: from hidden states to tags. Each owns its projection, its loss and its search for the best tags."""
