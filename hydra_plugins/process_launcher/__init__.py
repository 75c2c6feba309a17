"""A Hydra launcher: each job of a multirun a process of its own."""
