"""Lexicon entries: from names as people write them, and from files in several formats."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.errors import UserError
from ner_lab.models.features.lexicon.entries import (
    build_entries,
    build_lexicon,
    read_entries,
    read_lines,
    tokenize_name,
)

REAL = os.environ.get("NER_LAB_DATA")


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# building


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("Georgia (country)", "Georgia"),
        ("The (very (quite) late) Show (film)", "The Show"),
        ("(500) Days of Summer", "Days of Summer"),
        ("Half ( open", "Half ( open"),
        ("Acme Inc.", "Acme Inc"),
        ("What, Me?", "What , Me"),
        (r"odd ending ./\:;,? .", "odd ending"),
        ("Paris, France", "Paris , France"),
        ("Oakland; Calif.", "Oakland ; Calif"),
        ("1,000 Homes: a 3:1 guide", "1,000 Homes : a 3:1 guide"),
        ("J. R. R. Tolkien", "J. R. R. Tolkien"),
        ("St. Mary's Church", "St. Mary 's Church"),
        ("St Nicholas' Church", "St Nicholas ' Church"),
        ("Don't Look Now", "Do n't Look Now"),
        ("O'Neill", "O'Neill"),
        ("Rock 'n' Roll", "Rock 'n ' Roll"),
        ("AT&T", "AT&T"),
        ("Foo-Bar & Sons", "Foo-Bar & Sons"),
        ("before--after...", "before -- after"),
        ("Wait ... What", "Wait ... What"),
        ('Louis "Red" Berg', 'Louis " Red " Berg'),
        ("Yahoo!", "Yahoo !"),
        ("100% Pure [Live]", "100 % Pure [ Live ]"),
        ("  much \t blank ", "much blank"),
    ],
)
def test_a_name_becomes_an_entry_by_the_papers_steps(name: str, entry: str) -> None:
    assert build_entries([name]) == [entry]


NAMES = st.text("aB1 .,;:/\\?()'&-", max_size=14)


@given(st.lists(NAMES, max_size=5))
@settings(max_examples=150, deadline=None)
def test_entries_keep_no_parentheses_and_no_punctuation_at_the_end(names: list[str]) -> None:
    entries = build_entries(names)
    assert len(set(entries)) == len(entries) <= len(names)
    for entry in entries:
        assert entry[-1] not in ".,;:/\\? "
        assert "(" not in entry or ")" not in entry[entry.index("(") :]
        assert entry == " ".join(entry.split())


@given(NAMES)
@settings(max_examples=100, deadline=None)
def test_tokenising_moves_blanks_alone(name: str) -> None:
    tokens = tokenize_name(name)
    assert "".join(tokens) == "".join(name.split())
    assert all(token and " " not in token for token in tokens)


# files


def test_names_of_a_raw_file_are_built_into_entries(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"Paris, Texas\nParis (city)\nParis\n")
    assert read_entries(path, raw=True, whole_only=False) == ["Paris , Texas", "Paris"]
    assert read_entries(path, raw=False, whole_only=False) == ["Paris, Texas", "Paris (city)", "Paris"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("Málaga\nÅs\n".encode(), ["Málaga", "Ås"]),
        ("Málaga\nÅs\n".encode("latin-1"), ["Málaga", "Ås"]),
        ("Málaga\n".encode() + "Ås\n".encode("latin-1"), ["Málaga", "Ås"]),
        ("\ufeffOslo\r\nÅs\r\n".encode(), ["Oslo", "Ås"]),
        ("\ufeffOslo\n".encode() + b"\xc5s", ["Oslo", "Ås"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\x0bb\x0cc\n", ["a\x0bb\x0cc"]),  # a line ends at a line feed, nowhere else
        (b"", []),
    ],
)
def test_lines_are_utf8_or_else_latin1_one_by_one(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    assert read_lines(written(tmp_path / "a.txt", content)) == lines


LIST = b"new\nnew york\nnew york city\noslo\n"


def test_flags_mark_complete_names(tmp_path: Path) -> None:
    path = written(tmp_path / "x.lst", LIST)
    written(tmp_path / "x.dat", b"\x00\x01\x01\x01")
    assert read_entries(path, raw=False, whole_only=True) == ["new york", "new york city", "oslo"]
    assert read_entries(path, raw=False, whole_only=False) == ["new", "new york", "new york city", "oslo"]


def test_flags_may_be_in_sennas_data_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "hash" / "x.lst", LIST)
    written(tmp_path / "data" / "x.dat", b"\x00\x00\x00\x01")
    assert read_entries(path, raw=False, whole_only=True) == ["oslo"]


def test_a_list_without_its_flags_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.lst", LIST)
    with pytest.raises(UserError, match=r"x\.lst: there is no .*x\.dat.*whole_only: false"):
        read_entries(path, raw=False, whole_only=True)


@pytest.mark.parametrize("flags", [b"\x01\x01\x01", b"\x01\x01\x01\x01\x01", b"0101", b"\x01\x02\x01\x01"])
def test_flags_of_another_list_are_refused(tmp_path: Path, flags: bytes) -> None:
    path = written(tmp_path / "x.lst", LIST)
    written(tmp_path / "x.dat", flags)
    with pytest.raises(UserError, match=r"x\.dat: expected 4 bytes that are 0 or 1.*x\.lst.*of the same release"):
        read_entries(path, raw=False, whole_only=True)


def test_a_lexicon_is_written_once_built_and_read_as_it_is(tmp_path: Path) -> None:
    sources = [
        written(tmp_path / "a", b"Acme Inc.\nParis, Texas\n"),
        written(tmp_path / "b", b"Acme (firm) Inc\n\xc5s\n"),
    ]
    target = tmp_path / "built" / "all.txt"
    assert build_lexicon(sources, target) == 3
    assert target.read_text(encoding="utf-8") == "Acme Inc\nParis , Texas\nÅs\n"
    assert read_entries(target, raw=False, whole_only=False) == ["Acme Inc", "Paris , Texas", "Ås"]


# the real lists

LINES = {"loc": (36_697, 33_821), "misc": (4_722, 3_004), "org": (6_440, 3_919), "per": (123_283, 121_607)}


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="NER_LAB_DATA is not set")
def test_sennas_lists_have_the_sizes_of_the_paper() -> None:
    for name, (lines, names) in LINES.items():
        path = Path(str(REAL)) / "gazetteers" / "senna" / f"ner.{name}.lst"
        assert len(read_entries(path, raw=False, whole_only=False)) == lines
        assert len(read_entries(path, raw=False, whole_only=True)) == names
