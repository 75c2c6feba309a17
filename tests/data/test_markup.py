"""The built-in corpus' markup: entities in brackets, one sentence a line, documents under `#` lines."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.readers.markup import read_markup
from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import Span, is_proper, spans_of
from ner_lab.errors import UserError


def read(folder: Path, text: str) -> list[Sentence]:
    path = folder / "train.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return read_markup("train", path).sentences


def tagged(sentence: Sentence) -> str:
    return " ".join(
        f"{word}/{tag}" if tag != "O" else word for word, tag in zip(sentence.words, sentence.tags, strict=True)
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[PER Tom Ashby] plays.", "Tom/B-PER Ashby/I-PER plays ."),
        ("for [ORG Harwick Rovers].", "for Harwick/B-ORG Rovers/I-ORG ."),
        ("[LOC Leeds]", "Leeds/B-LOC"),
        ("Rain.", "Rain ."),
        ("[PER Ashby]'s boat", "Ashby/B-PER 's boat"),
        ("the [LOC Widow's Teeth]", "the Widow/B-LOC 's/I-LOC Teeth/I-LOC"),
        ("[LOC Hull] [LOC York] [ORG Hull]", "Hull/B-LOC York/B-LOC Hull/B-ORG"),
        ("([MISC pro-Western])", "( pro-Western/B-MISC )"),
        ("[LOC Hull], 1996-08-22", "Hull/B-LOC , 1996-08-22"),
        ("  [LOC Hull] 3 [LOC York] 1  ", "Hull/B-LOC 3 York/B-LOC 1"),
        ("[LOC St. John's]", "St./B-LOC John/I-LOC 's/I-LOC"),
    ],
)
def test_entities_in_brackets_become_iob2_tags(tmp_path: Path, line: str, expected: str) -> None:
    (sentence,) = read(tmp_path, line)
    assert tagged(sentence) == expected
    assert is_proper(sentence.tags, "IOB2")


words = st.sampled_from(["Tom", "Ashby", "plays", ",", "6-4", "U.S.", "pro-Western", "Málaga", "O'Neill"])


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.tuples(st.sampled_from(["", "PER", "MISC"]), st.lists(words, min_size=1)), min_size=1))
def test_words_and_spans_are_those_that_were_marked(
    pieces: list[tuple[str, list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    line = " ".join(f"[{kind} {' '.join(inner)}]" if kind else " ".join(inner) for kind, inner in pieces)
    (sentence,) = read(tmp_path_factory.mktemp("markup"), line)
    assert sentence.words == [word for _, inner in pieces for word in inner]
    expected, position = [], 0
    for kind, inner in pieces:
        if kind:
            expected.append(Span(kind, position, position + len(inner)))
        position += len(inner)
    assert spans_of(sentence.tags) == expected


def test_documents_begin_with_a_name_and_every_other_filled_line_is_a_sentence(tmp_path: Path) -> None:
    sentences = read(tmp_path, "# a | report\nOne.\nTwo. Still two.\n\n# b | list\n \nThree\n")
    assert [(s.document, s.line, " ".join(s.words)) for s in sentences] == [
        (0, 2, "One ."),
        (0, 3, "Two . Still two ."),
        (1, 7, "Three"),
    ]


def test_unknown_columns_are_there_with_a_value_for_each_word(tmp_path: Path) -> None:
    (sentence,) = read(tmp_path, "[LOC Hull] won.")
    assert sentence.columns == {"pos": ["_"] * 3, "chunk": ["_"] * 3}


def test_a_split_in_markup_is_iob2_and_knows_its_file(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text("Rain.", encoding="utf-8")
    split = read_markup("dev", tmp_path / "dev.txt")
    assert (split.name, split.path, split.scheme) == ("dev", str(tmp_path / "dev.txt"), "IOB2")


@pytest.mark.parametrize(
    "change", [lambda t: "\ufeff" + t, lambda t: t.replace("\n", "\r\n"), lambda t: t.rstrip("\n")]
)
def test_byte_order_mark_crlf_and_last_newline_do_not_matter(tmp_path: Path, change: Callable[[str], str]) -> None:
    text = "# a | report\n[LOC Hull] won.\nRain.\n"
    assert read(tmp_path, change(text)) == read(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[LOC Hull won", "unmatched bracket. Entities are written [TYPE words], unnested."),
        ("Hull] won", "unmatched bracket"),
        ("[loc Hull] won", "unmatched bracket"),
        ("[Hull] won", "unmatched bracket"),
        ("[LOC ] won", "unmatched bracket"),
        ("[ORG [LOC Hull] City] won", "unmatched bracket"),
        ("[LOC Hul]l won", "the entity 'Hul' does not begin and end with a word. The words here are: Hull won"),
        ("pro-[LOC Hull]", "the entity 'Hull' does not begin and end with a word. The words here are: pro-Hull"),
        ("[LOC Hull][LOC York]", "the entity 'Hull' does not begin and end with a word. The words here are: HullYork"),
        ("[LOC  Hull] won", "the entity ' Hull' does not begin and end with a word"),
    ],
)
def test_wrong_markup_is_refused_with_its_line_and_what_was_expected(tmp_path: Path, line: str, says: str) -> None:
    where = re.escape(f"{tmp_path / 'train.txt'}:3: {says}")
    with pytest.raises(UserError, match=f"^{where}"):
        read(tmp_path, f"# a | report\nRain.\n{line}\n")


@pytest.mark.parametrize("text", ["", "\n \n", "# a | report\n"])
def test_a_split_without_a_sentence_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"train\.txt: no sentences\. The train split needs at least one"):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.txt: there is no such file"):
        read_markup("train", tmp_path / "none.txt")
