"""Words for a misspelt name: which known one is nearest."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """`". Did you mean 'x'?"`, or a full stop where nothing is near."""
    match = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f". Did you mean '{match[0]}'?" if match else "."
