"""The twelve kinds of spelling features of Huang et al. 2015, section 4.2.1, each by hand-made words."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.models.features.spelling import pattern_summary, spelling, word_pattern

WORDS = st.text("aäzAÄZ09.-&'=中ßǅ", min_size=1, max_size=9)


def found(word: str) -> dict[str, str]:
    """Template -> value, the switches by their own names."""
    pairs = [name.split("=", 1) for name in spelling(word)]
    return {value if template == "is" else template: value for template, value in pairs}


@pytest.mark.parametrize(
    ("switch", "on", "off"),
    [
        ("initial_capital", "Oslo NATO A Éire McNeil I.B.M.", "oslo iPhone 3M 'Tis ."),
        ("all_capitals", "NATO A U.S. F-16 ÄÖ", "Nato mcD 1996 . -"),
        ("all_lower", "rain e-mail 1st a écru", "Rain iPhone 1996 . -"),
        ("inner_capital", "McNeil NATO iPhone 3D F-16S", "Oslo oslo A F-16 1996"),
        ("letters_and_digits", "1st F-16 D56y-3 B2", "first 1996 10-2 A-b ."),
        ("punctuation", "e-mail U.S. . 10:45 AT&T 3%", "email US 1045 Éire"),
        ("apostrophe_s", "Anna's it's 's 1990's", "Annas boys' Anna'S s' ' s"),
    ],
)
def test_switches_are_on_and_off_as_the_paper_describes_them(switch: str, on: str, off: str) -> None:
    assert [word for word in on.split() if switch not in found(word)] == []
    assert [word for word in off.split() if switch in found(word)] == []


@pytest.mark.parametrize(("word", "lower"), [("Oslo", "oslo"), ("NATO", "nato"), ("U.S.", "u.s."), ("ÉIRE", "éire")])
def test_the_lower_cased_word_is_a_feature(word: str, lower: str) -> None:
    assert found(word)["lower"] == lower


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("I", []),
        ("in", ["prefix2=in", "suffix2=in"]),
        ("Ann", ["prefix2=An", "prefix3=Ann", "suffix2=nn", "suffix3=Ann"]),
        ("Oslo", ["prefix2=Os", "prefix3=Osl", "prefix4=Oslo", "suffix2=lo", "suffix3=slo", "suffix4=Oslo"]),
        (
            "Bergen",
            [
                *("prefix2=Be", "prefix3=Ber", "prefix4=Berg", "prefix5=Berge"),
                *("suffix2=en", "suffix3=gen", "suffix4=rgen", "suffix5=ergen"),
            ],
        ),
    ],
)
def test_prefixes_and_suffixes_have_two_to_five_characters(word: str, expected: list[str]) -> None:
    assert [name for name in spelling(word) if "fix" in name.partition("=")[0]] == expected


@pytest.mark.parametrize(
    ("word", "letters", "others"),
    [
        ("I.B.M.", "IBM", "..."),  # the paper's examples, as a token has no blanks
        ("A.T.&T", "ATT", "..&"),
        ("D56y-3", "Dy", "56-3"),
        ("Éire", "Éire", ""),
        ("10:45", "", "10:45"),
    ],
)
def test_letters_alone_and_the_others_alone(word: str, letters: str, others: str) -> None:
    assert (found(word)["letters"], found(word)["non_letters"]) == (letters, others)


@pytest.mark.parametrize(
    ("word", "pattern", "summary"),
    [
        ("D56y-3", "A00a-0", "A0a-0"),  # the paper's example
        ("Oslo", "Aaaa", "Aa"),
        ("NATO", "AAAA", "A"),
        ("1998-02-11", "0000-00-00", "0-0-0"),
        ("...", "...", "."),
        ("--a--", "--a--", "-a-"),
        ("ÄßÉ", "AaA", "AaA"),
        ("3%", "0%", "0%"),
        ("中x", "中a", "中a"),  # neither capital nor small: kept
    ],
)
def test_patterns_and_their_summaries(word: str, pattern: str, summary: str) -> None:
    assert (found(word)["pattern"], found(word)["summary"]) == (pattern, summary)
    assert (word_pattern(word), pattern_summary(pattern)) == (pattern, summary)


@given(WORDS)
@settings(max_examples=200, deadline=None)
def test_a_feature_is_on_or_off_never_twice(word: str) -> None:
    names = spelling(word)
    assert len(set(names)) == len(names)
    for template in ("lower", "letters", "non_letters", "pattern", "summary"):
        assert sum(name.startswith(f"{template}=") for name in names) == 1
    assert sum(name.startswith("prefix") for name in names) == max(0, min(len(word), 5) - 1)


@given(WORDS)
@settings(max_examples=100, deadline=None)
def test_a_pattern_has_one_mark_per_character_and_its_summary_no_runs(word: str) -> None:
    pattern = word_pattern(word)
    assert len(pattern) == len(word)
    for char, mark in zip(word, pattern, strict=True):
        assert mark == ("A" if char in "AÄZ" else "a" if char in "aäzß" else "0" if char in "09" else char)
    summary = pattern_summary(pattern)
    assert all(first != second for first, second in pairwise(summary))
    assert pattern_summary(summary) == summary
