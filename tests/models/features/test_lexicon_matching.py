"""Matching with a lexicon: the example of the paper's figure 4, every rule by hand, and brute force."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.models.features.lexicon.matching import (
    Match,
    Part,
    covered,
    find_matches,
    fragments_of,
    position_codes,
    without_overlaps,
)


def codes(text: str, entries: Iterable[str], *, matching: str = "partial", single: bool = False) -> str:
    """The BIOES codes of a sentence, as one string."""
    words = text.split()
    found = find_matches(words, fragments_of(entries, matching=matching, single_token_partial=single))
    return "".join(position_codes(without_overlaps(found), len(words)))


def switches(text: str, entries: Iterable[str], *, matching: str) -> str:
    """Y for each word in any match, overlapping or not."""
    words = text.split()
    found = find_matches(words, fragments_of(entries, matching=matching, single_token_partial=False))
    return "".join("Y" if inside else "N" for inside in covered(found, len(words)))


# the worked example

FIGURE = "Hayao Tada , commander of the Japanese North China Area Army"
ENTRIES = {
    "LOC": ["China", "The Japanese Garden"],
    "MISC": ["Commander", "North", "China", "Area", "Army", "The Japanese Wife", "Of Mice"],
    "ORG": ["North China Area Army", "the Japanese Society"],
    "PER": ["Hayao Tada", "China"],
}
ROWS = {"LOC": "OOOOOBIOSOO", "MISC": "OOOSOBISSSS", "ORG": "OOOOOBIBIIE", "PER": "BEOOOOOOSOO"}


@pytest.mark.parametrize("category", ENTRIES)
def test_the_rules_give_the_rows_of_figure_4(category: str) -> None:
    assert codes(FIGURE, ENTRIES[category], single=category == "PER") == ROWS[category]


def test_figure_4_shows_one_word_that_the_rules_drop() -> None:
    """MISC has B at `of`, then another B at `the`: a match of one word with a part of an entry.

    The paper drops such matches in every category except persons, and its text wins over the figure.
    """
    drawn = "OOOSBBISSSS"
    assert codes(FIGURE, ENTRIES["MISC"], single=True) == drawn
    assert codes(FIGURE, ENTRIES["MISC"], single=False) == drawn[:4] + "O" + drawn[5:]


# the rules one by one


def test_a_blank_within_a_word_parts_no_tokens() -> None:
    fragments = fragments_of(["New York"], matching="exact", single_token_partial=False)
    assert find_matches(["New York"], fragments) == []
    assert find_matches(["New", "York"], fragments) == [Match(0, 2, Part.WHOLE)]


# brute force

WORDS = st.lists(st.sampled_from(["a", "A", "b", "c"]), max_size=8)
LEXICON = st.lists(st.lists(st.sampled_from(["a", "b", "B", "c"]), min_size=1, max_size=6), max_size=6)


def naive_codes(words: Sequence[str], entries: Sequence[Sequence[str]], matching: str, single: bool) -> list[str]:
    """All n-grams by all entries, sorted, taken greedily; codes are read off the place in the entry."""
    candidates = []
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            gram = [word.lower() for word in words[start:end]]
            for entry in ([token.lower() for token in entry] for entry in entries):
                size, length = len(gram), len(entry)
                if gram == entry:
                    candidates.append((0, -size, start, 0, length))
                elif matching == "partial" and length > size >= length / 2 and (size >= 2 or single):
                    if gram == entry[:size]:
                        candidates.append((1, -size, start, 0, length))
                    if gram == entry[length - size :]:
                        candidates.append((1, -size, start, length - size, length))
    result: list[str] = [""] * len(words)
    for _, minus_size, start, offset, length in sorted(candidates):
        places = range(start, start - minus_size)
        if any(result[place] for place in places):
            continue
        for place in places:
            within = place - start + offset
            result[place] = "S" if length == 1 else "B" if within == 0 else "E" if within == length - 1 else "I"
    return [code or "O" for code in result]


@given(WORDS, LEXICON, st.sampled_from(["exact", "partial"]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_matching_equals_all_n_grams_by_all_entries(
    words: list[str], entries: list[list[str]], matching: str, single: bool
) -> None:
    found = codes(" ".join(words), [" ".join(entry) for entry in entries], matching=matching, single=single)
    assert list(found) == naive_codes(words, entries, matching, single)


@given(WORDS, LEXICON, st.sampled_from(["exact", "collobert"]))
@settings(max_examples=150, deadline=None)
def test_switches_equal_all_n_grams_by_all_entries(words: list[str], entries: list[list[str]], matching: str) -> None:
    inside = [False] * len(words)
    for entry in entries:
        tokens = [token.lower() for token in entry]
        for size in range(1 if matching == "collobert" else len(tokens), len(tokens) + 1):
            for start in range(len(words) - size + 1):
                if [word.lower() for word in words[start : start + size]] == tokens[:size]:
                    inside[start : start + size] = [True] * size
    expected = "".join("Y" if on else "N" for on in inside)
    assert switches(" ".join(words), [" ".join(entry) for entry in entries], matching=matching) == expected


@given(WORDS, LEXICON)
@settings(max_examples=100, deadline=None)
def test_the_order_of_entries_and_their_case_change_nothing(words: list[str], entries: list[list[str]]) -> None:
    listed = [" ".join(entry) for entry in entries]
    text = " ".join(words)
    expected = codes(text, listed)
    assert codes(text, listed[::-1]) == expected
    assert codes(text.upper(), [entry.swapcase() for entry in listed]) == expected
