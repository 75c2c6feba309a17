"""A Hydra sweeper: grids and rows."""
