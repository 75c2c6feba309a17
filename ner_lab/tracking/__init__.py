"""Experiment trackers. No number is only in a tracker: the run folder has all of them."""
