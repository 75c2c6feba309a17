"""Match a sentence with the entries of one category of a lexicon (Chiu & Nichols 2016, section 2.4.2).

A *fragment* is a sequence of tokens that counts as a match: a complete entry, or a part of one. Case is ignored; apart
from that, words are matched unchanged, digits included: our choice, as SENNA's own program does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MATCHINGS = ("exact", "partial", "collobert")
CODINGS = ("BIOES", "YN")


class Part(IntEnum):
    """The part of an entry that a fragment is. If it is several, of different entries, the first of these counts."""

    WHOLE = 0
    PREFIX = 1
    SUFFIX = 2


class Match(NamedTuple):
    """Words `start .. end - 1` of a sentence are this part of an entry."""

    start: int
    end: int
    part: Part


@dataclass(frozen=True)
class Fragments:
    """Everything that matches, in a form with fast look-up."""

    parts: dict[str, Part]
    """Lower-cased tokens separated by single blanks"""
    longest: dict[str, int]
    """For each first token, the number of tokens of the longest fragment that begins with it"""


def fragments_of(entries: Iterable[str], *, matching: str, single_token_partial: bool) -> Fragments:
    """The fragments of the entries under a method.

    `exact`: complete entries. `partial`: also a prefix or suffix of at least half the entry's tokens, with two tokens
    or more unless `single_token_partial`. `collobert`: also any prefix.
    """
    complete = dict.fromkeys(entry.lower() for entry in entries)
    prefixes: set[str] = set()
    suffixes: set[str] = set()
    if matching != "exact":
        shortest = 1 if matching == "collobert" or single_token_partial else 2
        for entry in complete:
            tokens = entry.split(" ")
            length = len(tokens)
            least = shortest if matching == "collobert" else max(shortest, (length + 1) // 2)
            for size in range(least, length):
                prefixes.add(" ".join(tokens[:size]))
                if matching == "partial":
                    suffixes.add(" ".join(tokens[-size:]))
    parts = dict.fromkeys(suffixes, Part.SUFFIX)
    parts.update(dict.fromkeys(prefixes, Part.PREFIX))
    parts.update(dict.fromkeys(complete, Part.WHOLE))
    longest: dict[str, int] = {}
    for fragment in parts:
        first = fragment.partition(" ")[0]
        size = fragment.count(" ") + 1
        if size > longest.get(first, 0):
            longest[first] = size
    return Fragments(parts, longest)


def find_matches(words: Sequence[str], fragments: Fragments) -> list[Match]:
    """Every n-gram of the sentence that is a fragment, sorted by start and then by length."""
    lowered = [word.lower().replace(" ", "\n") for word in words]  # a blank within a word does not separate tokens
    parts, longest = fragments.parts, fragments.longest
    matches = []
    for start, first in enumerate(lowered):
        phrase = first
        for end in range(start + 1, min(start + longest.get(first, 0), len(lowered)) + 1):
            part = parts.get(phrase)
            if part is not None:
                matches.append(Match(start, end, part))
            phrase = f"{phrase} {lowered[end]}" if end < len(lowered) else ""
    return matches


def without_overlaps(matches: Iterable[Match]) -> list[Match]:
    """Resolve overlaps: complete entries before parts, then longer before shorter, then earlier before later."""
    chosen: list[Match] = []
    taken: set[int] = set()
    for match in sorted(matches, key=lambda match: (match.part != Part.WHOLE, match.start - match.end, match.start)):
        span = range(match.start, match.end)
        if taken.isdisjoint(span):
            taken.update(span)
            chosen.append(match)
    return chosen


def position_codes(matches: Iterable[Match], length: int) -> list[str]:
    """For each of `length` words, its position in its entry: B, I, E, S, or O for none.

    A prefix has no E and a suffix no B: the entry continues.
    """
    codes = ["O"] * length
    for start, end, part in matches:
        codes[start:end] = "I" * (end - start)
        if part == Part.WHOLE and end - start == 1:
            codes[start] = "S"
            continue
        if part != Part.SUFFIX:
            codes[start] = "B"
        if part != Part.PREFIX:
            codes[end - 1] = "E"
    return codes


def covered(matches: Iterable[Match], length: int) -> list[bool]:
    """For each of `length` words, whether it is in any of the matches."""
    inside = [False] * length
    for start, end, _ in matches:
        inside[start:end] = [True] * (end - start)
    return inside
