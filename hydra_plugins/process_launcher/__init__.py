"""A Hydra launcher that runs each job of a multirun in its own process."""
