"""Column files: what is read, what is forgiven, and what a refusal says."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.readers.conll import ColumnFormat, Shape, read_split, read_text, sentences_of, shape_of, write_columns
from ner_lab.data.sentence import DOCSTART, Counts, Sentence
from ner_lab.data.tags import SCHEMES, Span, spans_of, tags_of
from ner_lab.errors import UserError

PLAIN = "Tom NNP B-PER\nAshby NNP I-PER\nsang VBD O\n\nYork NNP B-LOC\n. . O\n"
SENTENCES = [(["Tom", "Ashby", "sang"], ["B-PER", "I-PER", "O"]), (["York", "."], ["B-LOC", "O"])]


def write(folder: Path, text: str | bytes, name: str = "eng.train") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, scheme: str = "auto", **columns: Any) -> list[tuple[list[str], list[str]]]:
    split = read_split("train", path, ColumnFormat(**columns), scheme)
    return [(sentence.words, sentence.tags) for sentence in split.sentences]


def read_lines(text: str, **columns: Any) -> list[Sentence]:
    return list(sentences_of(text.splitlines(keepends=True), ColumnFormat(**columns), "input"))


# columns


@pytest.mark.parametrize(
    ("between", "separator"),
    [(" ", "auto"), ("\t", "auto"), ("  ", "auto"), (" ", "space"), ("\t", "tab"), ("  ", "any"), (" \t ", "any")],
)
@pytest.mark.parametrize("width", [2, 3, 4, 7])
def test_any_number_of_columns_between_spaces_or_tabs(tmp_path: Path, between: str, separator: str, width: int) -> None:
    rows = [[word, *["x"] * (width - 2), tag] for word, tag in zip(*SENTENCES[0], strict=True)]
    path = write(tmp_path, "".join(between.join(row) + "\n" for row in rows))
    assert read(path, separator=separator) == SENTENCES[:1]


@pytest.mark.parametrize(("word", "tag"), [(w, t) for w in range(-4, 4) for t in range(-4, 4) if w % 4 != t % 4])
def test_word_and_tag_are_read_from_the_columns_asked_for(tmp_path: Path, word: int, tag: int) -> None:
    cells = ["_"] * 4
    cells[word], cells[tag] = "York", "B-LOC"
    assert read(write(tmp_path, " ".join(cells) + "\n"), word=word, tag=tag) == [(["York"], ["B-LOC"])]


def test_further_columns_are_kept_under_their_names(tmp_path: Path) -> None:
    path = write(tmp_path, "York NNP I-NP B-LOC\nwon VBD I-VP O\n")
    (sentence,) = read_split("train", path, ColumnFormat(others={"pos": 1, "chunk": -2})).sentences
    assert sentence.columns == {"pos": ["NNP", "VBD"], "chunk": ["I-NP", "I-VP"]}


def test_words_between_tabs_may_hold_blanks(tmp_path: Path) -> None:
    assert read(write(tmp_path, "New York\tB-LOC\n 7 1/2\tO\n")) == [(["New York", " 7 1/2"], ["B-LOC", "O"])]


def test_blanks_that_are_no_ascii_blanks_belong_to_a_word(tmp_path: Path) -> None:
    words = ["10\u00a0000", "\u3000", "a\u2028b", "\x85", "c\u00a0"]
    first = "".join(f"{word} O\n" for word in words)
    assert read(write(tmp_path, first)) == [(words, ["O"] * 5)]
    last = "".join(f"O {word}\n" for word in words)
    assert read(write(tmp_path, last), word=1, tag=0) == [(words, ["O"] * 5)]


def test_a_file_without_tags_is_read_as_outside(tmp_path: Path) -> None:
    assert read(write(tmp_path, "York\nwon\n"), tag=None) == [(["York", "won"], ["O", "O"])]


def test_a_sentence_knows_the_line_of_its_first_word(tmp_path: Path) -> None:
    path = write(tmp_path, "\n-DOCSTART- O\n\nYork O\nwon O\n\n\nLeeds O\n")
    split = read_split("dev", path, ColumnFormat())
    assert [sentence.line for sentence in split.sentences] == [4, 8]
    assert (split.name, split.path) == ("dev", str(path))


def test_reading_a_stream_gives_a_sentence_as_soon_as_it_ends() -> None:
    asked = []

    def lines() -> Iterator[str]:
        for line in ["York O\n", "\n", "Leeds O\n", "\n"]:
            asked.append(line)
            yield line

    sentences = sentences_of(lines(), ColumnFormat(), "stdin")
    assert next(sentences).words == ["York"]
    assert asked == ["York O\n", "\n"]


words_and_tags = st.lists(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters=" \t\r\n", exclude_categories=["Cs"]), min_size=1, max_size=5),
            st.sampled_from(["O", "B-PER", "I-PER", "B-LOC"]),
        ).filter(lambda row: row[0].strip() and row[0] != DOCSTART),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=50, deadline=None)
@given(sentences=words_and_tags, separator=st.sampled_from([" ", "\t"]), end=st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_read_again(sentences: list[list[tuple[str, str]]], separator: str, end: str) -> None:
    lines = [separator.join(row) + end for rows in sentences for row in [*rows, ("", "")]]
    found = list(sentences_of(lines, ColumnFormat(), "input"))
    assert [list(zip(sentence.words, sentence.tags, strict=True)) for sentence in found] == sentences


def test_columns_are_written_with_single_spaces_and_an_empty_line_behind_each_sentence() -> None:
    out = io.StringIO()
    write_columns(out, [[["York", "won"], ["B-LOC", "O"]], [["."], ["O"]]])
    assert out.getvalue() == "York B-LOC\nwon O\n\n. O\n\n"


def test_columns_of_unequal_length_are_not_written() -> None:
    with pytest.raises(ValueError, match="zip"):
        write_columns(io.StringIO(), [[["York", "won"], ["B-LOC"]]])


# what is forgiven


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r\n").rstrip("\r\n"),
        "\ufeff" + PLAIN,
        "\ufeff" + PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", " \n"),
        PLAIN.replace("\n", "\t \t\r\n"),
        PLAIN.replace("\n\n", "\n   \n"),
        PLAIN.replace("\n\n", "\n\t\n"),
        PLAIN.replace("\n\n", "\n\n \n\n\n"),
        "\n \n" + PLAIN + "\n\n",
        PLAIN.replace("\n", "\n ").replace("\n \n", "\n\n"),
        PLAIN.replace(" ", "\t"),
        PLAIN.replace(" ", "   "),
    ],
    ids=[
        "as it is",
        "no last newline",
        "CRLF",
        "CRLF, no last newline",
        "byte order mark",
        "byte order mark and CRLF",
        "trailing blank",
        "trailing blanks and CRLF",
        "blank line of blanks",
        "blank line of a tab",
        "many blank lines",
        "blank lines at both ends",
        "leading blanks",
        "tabs",
        "wide blanks",
    ],
)
def test_what_cannot_change_a_score_is_forgiven(tmp_path: Path, text: str) -> None:
    assert read(write(tmp_path, text)) == SENTENCES


# documents


DOCUMENTS = "-DOCSTART- -X- O\n\nYork NNP B-LOC\n\nLeeds NNP B-LOC\n\n-DOCSTART- -X- O\n\nHull NNP B-LOC\n"


def test_document_marks_are_borders_and_no_sentences() -> None:
    sentences = read_lines(DOCUMENTS)
    assert [(sentence.words, sentence.document) for sentence in sentences] == [
        (["York"], 0),
        (["Leeds"], 0),
        (["Hull"], 1),
    ]


def test_document_marks_can_be_kept_as_sentences_of_one_word() -> None:
    sentences = read_lines(DOCUMENTS, docstart="keep", others={"pos": 1})
    assert [sentence.words for sentence in sentences] == [[DOCSTART], ["York"], ["Leeds"], [DOCSTART], ["Hull"]]
    assert [sentence.document for sentence in sentences] == [0, 0, 0, 1, 1]
    assert [sentence.line for sentence in sentences] == [1, 3, 5, 7, 9]
    assert all(len(s.words) == len(s.tags) == len(s.columns["pos"]) for s in sentences)
    assert sentences[0].tags == ["O"]


def test_keeping_document_marks_changes_no_count() -> None:
    assert Counts.of(read_lines(DOCUMENTS)) == Counts.of(read_lines(DOCUMENTS, docstart="keep"))
    assert Counts.of(read_lines(DOCUMENTS)) == Counts(2, 3, 3, 3, {"LOC": 3})


def test_a_document_mark_ends_a_sentence_even_without_a_blank_line() -> None:
    assert [s.words for s in read_lines("York O\n-DOCSTART- O\nHull O\n")] == [["York"], ["Hull"]]


@pytest.mark.parametrize(
    "mark", ["-DOCSTART-", "-DOCSTART- -X- -X- O", "-DOCSTART- -DOCSTART- O", "-DOCSTART-\tO", " -DOCSTART- O"]
)
def test_document_marks_need_not_have_the_columns_of_words(mark: str) -> None:
    sentences = read_lines(f"{mark}\n\nYork B-LOC\n\n{mark}\n\nHull B-LOC\n")
    assert [(sentence.words, sentence.document) for sentence in sentences] == [(["York"], 0), (["Hull"], 1)]


@pytest.mark.parametrize("word", [1, -2])
def test_document_marks_are_known_in_the_word_column_too(word: int) -> None:
    sentences = read_lines("1 -DOCSTART- O\n\n1 York B-LOC\n2 won O\n", word=word)
    assert [(sentence.words, sentence.document) for sentence in sentences] == [(["York", "won"], 0)]


def test_a_file_without_marks_has_no_documents() -> None:
    assert {sentence.document for sentence in read_lines(PLAIN)} == {-1}


# schemes


@st.composite
def corpora(draw: st.DrawFn) -> list[tuple[list[Span], int]]:
    """Sentences as spans and a length; the first has two touching entities, which tells IOB1 from IO."""
    corpus = [([Span("PER", 0, 2), Span("PER", 2, 3)], 4)]
    for pieces in draw(
        st.lists(st.lists(st.tuples(st.sampled_from(["", "PER", "LOC"]), st.integers(1, 3)), min_size=1))
    ):
        ends = [sum(length for _, length in pieces[: index + 1]) for index in range(len(pieces))]
        spans = [Span(kind, end - n, end) for (kind, n), end in zip(pieces, ends, strict=True) if kind]
        corpus.append((spans, ends[-1]))
    return corpus


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=15, deadline=None)
@given(corpus=corpora())
def test_a_files_scheme_is_recognised_and_its_spans_are_the_same_in_every_scheme(
    scheme: str, corpus: list[tuple[list[Span], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "".join("".join(f"w {tag}\n" for tag in tags_of(spans, length, scheme)) + "\n" for spans, length in corpus)
    path = write(tmp_path_factory.mktemp("corpus"), text)
    split = read_split("train", path, ColumnFormat())
    assert split.scheme == scheme
    assert read_split("train", path, ColumnFormat(), scheme).sentences == split.sentences
    if scheme != "IO":
        assert [spans_of(sentence.tags) for sentence in split.sentences] == [spans for spans, _ in corpus]


@pytest.mark.parametrize(
    ("scheme", "tags", "line", "wrong"),
    [
        ("IOB2", "O I-PER O", 4, "I-PER may not follow O"),
        ("IOB2", "B-PER I-LOC O", 4, "I-LOC may not follow B-PER"),
        ("IOB2", "B-PER E-PER O", 4, "E-PER may not follow B-PER"),
        ("IOB1", "O O B-PER", 5, "B-PER may not follow O"),
        ("IOBES", "B-PER O O", 4, "O may not follow B-PER"),
        ("IOBES", "O O B-PER", 5, "O may not follow B-PER"),
        ("BILOU", "S-PER O O", 3, "S-PER may not follow O"),
        ("IO", "B-PER O O", 3, "B-PER may not follow O"),
    ],
)
def test_tags_that_break_the_stated_scheme_are_refused_with_their_line(
    tmp_path: Path, scheme: str, tags: str, line: int, wrong: str
) -> None:
    path = write(tmp_path, "York O\n\n" + "".join(f"w {tag}\n" for tag in tags.split()))
    expected = rf"{re.escape(str(path))}:{line}: {wrong} in {scheme}\. Fix the tag, or set another data\.file_scheme"
    with pytest.raises(UserError, match=expected):
        read(path, scheme)


def test_letters_of_two_schemes_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "York S-LOC\n\nHull U-LOC\n")
    with pytest.raises(UserError, match=rf"{re.escape(str(path))}:3: tags mix .*IOBES and BILOU.*in one scheme"):
        read(path)


# what is refused, and what the refusal says


@pytest.mark.parametrize(
    ("text", "columns", "says"),
    [
        ("a O\nb x O\n", {}, [":2: 3 columns, line 1 has 2", "split on spaces or tabs", "data.separator"]),
        ("\na x O\n\nb O\n", {}, [":4: 2 columns, line 2 has 3", "fix the line"]),
        ("a x O\n-DOCSTART-\nb\n", {}, [":3: 1 column, line 1 has 3"]),
        ("a\tO\nb O\n", {}, [":2: 1 column, line 1 has 2", "split on tabs"]),
        ("a  O\nb O\n", {"separator": "space"}, [":2: 2 columns, line 1 has 3", "split on spaces;"]),
        ("a O\n", {"tag": 3}, [":1: column 3 (tag) was asked for, but the line has 2 columns", "data.columns"]),
        ("a O\n", {"word": -3}, [":1: column -3 (word) was asked for", "2 columns"]),
        ("a O\n", {"others": {"pos": 2}}, [":1: column 2 (pos) was asked for", "data.columns or data.separator"]),
        ("a\nb\n", {}, [":1: 1 column, so word and tag would be the same", "at least two columns", "data.separator"]),
        ("a O\n", {"separator": "tab"}, [":1: 1 column,", "data.separator"]),
        ("a O\n", {"word": 1}, [":1: 2 columns, so word and tag would be the same"]),
        ("a O\nb PER\n", {}, [":2: 'PER' is not a tag, but looks like an entity type", "column 1", "I- before each"]),
        ("a O NNP\n", {}, [":1: 'NNP' is not a tag", "read from column 2; set data.columns.tag"]),
        ("a O\n\nb X-PER\n", {}, [":3: 'X-PER' is not a tag"]),
        ("a\t\tO\n", {"tag": 1}, [":1: '' is not a tag"]),
        ("", {}, [": no sentences", "The train split needs at least one", "data.train"]),
        (" \n\n", {}, [": no sentences"]),
        ("-DOCSTART- O\n\n", {}, [": no sentences"]),
        ("-DOCSTART- O\n\n", {"docstart": "keep"}, [": no sentences"]),
    ],
)
def test_a_refusal_names_file_and_line_what_was_expected_and_the_next_step(
    tmp_path: Path, text: str, columns: dict[str, Any], says: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as refusal:
        read(path, **columns)
    message = str(refusal.value)
    assert message.startswith(f"{path}{says[0]}")
    for part in says:
        assert part in message


COMMENTED = """\
# newdoc id = doc-1
# sent_id = 1
1\tAnna\tB-PER\t-
2\tleft\tO\t-

# sent_id = 2
1\t#\tO\t-
2\tOslo\tB-LOC\t-
"""


@pytest.mark.parametrize(
    ("text", "columns", "line", "says"),
    [
        (COMMENTED, {"word": 1, "tag": 2}, 1, ["'# newdoc id = doc-1' is a comment line", "grep -v '^#' eng.train"]),
        (COMMENTED, {"word": 1, "tag": 2, "separator": "tab"}, 1, ["is a comment line"]),
        ("# id 5239 domain=en\nanna _ _ B-PER\nleft _ _ O\n", {}, 1, ["is a comment line"]),
        ("###MEDLINE:9534\n\nIL-2 B-DNA\n", {}, 1, ["'###MEDLINE:9534' is a comment line"]),
        ("Anna O\n# O\n\n# text = Oslo\nOslo B-LOC\n", {}, 4, ["is a comment line", "grep -v '^#.*=' eng.train"]),
        ("token\ttag\nAnna\tB-PER\nOslo\tB-LOC\n", {}, 1, ["looks like a header", "tail -n +2 eng.train"]),
        ('Sentence #,Word,Tag\n"Sentence: 1",Anna,B-per\n,",",O\n', {}, 1, ["it is CSV", "'\\n' * bool(r[0])"]),
        ('{"tokens": ["Anna"], "tags": ["B-PER"]}\n', {}, 1, ["it is JSON", "a word and its tag on each line"]),
        ("Anna b-per\nleft o\n", {}, 1, ["'b-per' is not a tag", "capital letters", "sed -E"]),
        (
            "Anna O\nHolm -\n",
            {},
            2,
            ["'-' is not a tag: the word has no annotation", "Write O", "leave its sentence out"],
        ),
        ("Anna B_PER\n", {}, 1, ["'B_PER' is not a tag: a dash is expected", r"s/([[:blank:]][BIESLU])_/\1-/"]),
        ("A B-NAME\nn M-NAME\na E-NAME\n", {}, 2, ["'M-NAME' is not a tag: M- of BMES", r"s/([[:blank:]])M-/\1I-/"]),
        ("Anna B\nHolm I\n", {}, 1, ["'B' is not a tag: it has no entity type", "add a name for it"]),
        (
            "Anna PERSON\nleft O\n",
            {},
            1,
            ["'PERSON' is not a tag, but looks like an entity type without", "Put I- before"],
        ),
        ("The DT\ncat NN\nsat VBD\n", {}, 1, ["'DT' is not a tag", "DT, NN, VBD and no O", "part-of-speech tags?"]),
        ("Anna\tB-Drug Name\n", {}, 1, ["'B-Drug Name' is not a tag: its type holds a blank", "B-Drug_Name"]),
        ("Bank B-ORG|B-LOC\n", {}, 1, ["'B-ORG|B-LOC' is not a tag: these are two", "Keep one"]),
        ("Anna O\nBank B-ORG|O\n", {}, 2, ["these are two"]),
        ("Anna B-PER NNP\nleft O VBD\n", {}, 1, ["'NNP' in column 2 is not a tag", "set data.columns.tag=1"]),
    ],
)
def test_formats_and_dialects_that_people_have_are_refused_by_their_kind_with_a_fitting_step(
    tmp_path: Path, text: str, columns: dict[str, Any], line: int, says: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UserError) as refusal:
        read(path, **columns)
    assert str(refusal.value).startswith(f"{path}:{line}: ")
    assert [part for part in says if part not in str(refusal.value)] == []


@pytest.mark.parametrize("text", ["# O\nOslo B-LOC\n", "#oslo B-LOC\n= O\n", "## O\n\n# O\n"])
def test_the_word_hash_is_a_word_at_the_start_of_a_sentence_too(tmp_path: Path, text: str) -> None:
    words = [word for sentence, _ in read(write(tmp_path, text)) for word in sentence]
    assert words == [line.split()[0] for line in text.splitlines() if line]


@pytest.mark.parametrize(
    "numbers",
    ["0 1 2|0 1|0 1 2", "1 2 3|1|1 2", "1 2 3|4 5|6 7 8", "1 2-3 2 3|1 2 2.1 3"],
    ids=["from 0", "from 1", "running on", "as in CoNLL-U"],
)
def test_a_column_that_counts_the_words_is_not_taken_for_words(tmp_path: Path, numbers: str) -> None:
    text = "".join(
        "".join(f"{number}\tHer\tO\tO\n" for number in sentence.split()) + "\n" for sentence in numbers.split("|")
    )
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=r":1: column 0 numbers the words .*set data\.columns='\{word: 1, tag: 2\}'"):
        read(path)
    assert {word for words, _ in read(path, word=1) for word in words} == {"Her"}


@pytest.mark.parametrize("text", ["1 CD O\n2 CD O\n\nHull NNP O\nwon VBD O\n", "7 O\n8 O\n\n9 O\n10 O\n"])
def test_numbers_among_words_and_numbers_that_are_all_there_is_are_words(tmp_path: Path, text: str) -> None:
    words = [word for sentence, _ in read(write(tmp_path, text)) for word in sentence]
    assert words == [line.split()[0] for line in text.splitlines() if line]


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ("I-PER E-PER E-PER|O O", [":2: E-PER", "IOE1 or IOE2"]),
        ("O I-PER|I-PER E-PER I-PER", [":5: E-PER", "IOE1 or IOE2"]),
        ("B-PER I-PER|S-LOC O|B-LOC O", [":2: O after I-PER breaks IOBES", "2 of 3 sentences"]),
        ("I-PER L-PER|I-PER L-PER|U-PER O", [":1: I-PER after O breaks BILOU", "2 of 3 sentences"]),
    ],
)
def test_tags_that_mostly_break_the_scheme_of_their_letters_are_not_read_as_that_scheme(
    tmp_path: Path, tags: str, says: list[str]
) -> None:
    text = "\n\n".join("\n".join(f"w {tag}" for tag in sentence.split()) for sentence in tags.split("|")) + "\n"
    with pytest.raises(UserError) as refusal:
        read(write(tmp_path, text))
    assert [part for part in says if part not in str(refusal.value)] == []


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("before", [b"", b"York O\n", b"York O\r\n\r\nHull O\r\n", b"K\xc3\xb6ln O\n\n"])
def test_bytes_that_are_not_utf8_are_named_with_their_line_and_a_way_out(
    tmp_path: Path, start: bytes, before: bytes
) -> None:
    path = write(tmp_path, start + before + "Málaga O\nw O\n".encode("latin1"))
    line = before.count(b"\n") + 1
    with pytest.raises(UserError) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}:{line}: byte 0xe1 is not UTF-8.")
    assert "iconv -f latin1 -t utf-8 eng.train" in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path / 'none'))}: there is no such file"):
        read_text(tmp_path / "none")


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{re.escape(str(tmp_path))}: is a folder\. Expected a text file"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("columns", "takes"),
    [({"separator": "comma"}, "one of auto, tab, space, any"), ({"docstart": "skip"}, "drop or keep")],
)
def test_unknown_ways_of_reading_are_refused_with_those_there_are(columns: dict[str, Any], takes: str) -> None:
    (key, value), *_ = columns.items()
    with pytest.raises(UserError, match=rf"data\.{key} must be {takes}; got '{value}'"):
        ColumnFormat(**columns)


def test_a_blank_within_a_word_never_makes_a_column() -> None:
    out = io.StringIO()
    write_columns(out, [[["New York", ""], ["B-LOC", "O"]]])
    (sentence,) = sentences_of(out.getvalue().split("\n"), ColumnFormat(), "written")
    assert sentence.words == ["New_York", "_"]
    assert sentence.tags == ["B-LOC", "O"]


@settings(deadline=None, max_examples=200)
@given(
    separator=st.sampled_from(["any", "tab", "space"]),
    lines=st.lists(st.lists(st.sampled_from([*"ab", "\xa0", " ", "\t", "  "]), max_size=6).map("".join), max_size=6),
)
def test_cells_are_what_stands_between_separators(separator: str, lines: list[str]) -> None:
    pattern = {"any": "[ \t]+", "tab": "\t", "space": " "}[separator]
    expected = []
    for line in lines:
        text = line.rstrip(" \t")
        cells = re.split(pattern, text.lstrip(" \t") if separator == "any" else text)
        fits = not expected or len(cells) == len(expected[0])
        if text.strip() and fits and cells[0].strip(" "):
            expected.append(cells)
        elif text.strip():
            with pytest.raises(UserError, match="column 0 is empty" if fits else f"{len(cells)} column"):
                list(sentences_of(lines, ColumnFormat(tag=None, separator=separator), "some"))
            return
    read = sentences_of(lines, ColumnFormat(tag=None, separator=separator, others={"last": -1}), "some")
    rows = [zip(sentence.words, sentence.columns["last"], strict=True) for sentence in read]
    assert [row for sentence in rows for row in sentence] == [(cells[0], cells[-1]) for cells in expected]


LINES = ["", "-DOCSTART- O", "", "Anna\tO", "Holm\tO", "", "Oslo\tO", "", "-DOCSTART-", "", "It\tO", ""]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 6, 8, 10])
def test_lines_from_the_middle_are_read_as_in_the_whole_file(cut: int) -> None:
    columns = ColumnFormat()
    whole = list(sentences_of(LINES, columns, "some"))
    shape = shape_of(LINES, columns, "some")
    assert shape == Shape("tab", 2, 4)
    parts = [
        *sentences_of(LINES[:cut], columns, "some", shape=shape),
        *sentences_of(LINES[cut:], columns, "some", begin=cut + 1, shape=shape),
    ]
    assert [(sentence.words, sentence.line) for sentence in parts] == [(one.words, one.line) for one in whole]
    assert shape_of(LINES[:3], columns, "some") is None
