"""A Hydra launcher: jobs of one shape are trained as one model, in this process."""
