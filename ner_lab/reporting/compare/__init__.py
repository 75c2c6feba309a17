"""Two runs side by side: what differs in them, in their scores, and in what they get right."""
