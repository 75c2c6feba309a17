"""Experiment trackers. None of them is the only place where a number lives: the run folder has all."""
