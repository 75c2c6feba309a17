"""Tagging new text: chunks of an input, in one process or several, out in the order they came in."""
