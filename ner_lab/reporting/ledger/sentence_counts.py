"""Span counts per sentence as text: `102(0/1/1)1`.

A sentence in which all spans are found, and no others, is its number of spans: a digit, or `(12)` from
ten on. Any other sentence is `(correct/predicted/gold)`.
"""

import re

import numpy as np

_SENTENCE = re.compile(r"(\d)|\((\d+)\)|\((\d+)/(\d+)/(\d+)\)")


def encode(counts: np.ndarray) -> str:
    """Encode counts (sentences, 3): correct, predicted and gold spans of each sentence."""
    return "".join(map(_word, counts.tolist()))


def _word(counts: list[int]) -> str:
    if len(set(counts)) > 1:
        return f"({'/'.join(map(str, counts))})"
    return str(counts[0]) if counts[0] < 10 else f"({counts[0]})"


def decode(text: str) -> np.ndarray:
    """Decode to counts (sentences, 3); ValueError for text that `encode` does not write."""
    counts, end = [], 0
    for found in _SENTENCE.finditer(text):
        if found.start() != end:
            break
        digit, number, *three = found.groups()
        counts.append([int(digit or number)] * 3 if three[0] is None else [int(part) for part in three])
        end = found.end()
    if end != len(text):
        raise ValueError(f"no counts of sentences from letter {end + 1:,} on")
    return np.array(counts, dtype=int).reshape(-1, 3)
