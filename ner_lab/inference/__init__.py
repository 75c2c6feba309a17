"""Tagging new text: an input is split into chunks, tagged in one process or several, and written in input order."""
