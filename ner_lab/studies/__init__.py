"""Studies: jobs from a grid or from rows, their folders and states, and the processes that run them."""
