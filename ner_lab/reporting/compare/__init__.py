"""Comparison of two runs: their settings, scores, and what each gets right."""
