"""Text in and out of prediction: each format read and written by hand-made cases and round trips."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.readers.conll import ColumnFormat, Shape
from ner_lab.data.tokenization import Token
from ner_lab.errors import UserError
from ner_lab.inference.text_formats import INPUT_FORMATS, OUTPUT_FORMATS, InputSentence, NumberedLines, columns_input


def text_of(content: str, name: str = "some", before: int = 0) -> NumberedLines:
    lines = content.split("\n")
    return NumberedLines(lines if lines[-1] else lines[:-1], name, before)


def read(form: str, content: str, name: str = "some") -> list[InputSentence]:
    return list(INPUT_FORMATS[form].pieces(text_of(content, name)))


def words_of(form: str, content: str) -> list[list[str]]:
    return [piece.words for piece in read(form, content)]


def write(form: str, piece: InputSentence, tags: str) -> str:
    return OUTPUT_FORMATS[form](piece, tags.split())


# the text itself


def test_lines_are_counted_and_taken_one_by_one() -> None:
    taken = []
    text = NumberedLines((taken.append(line) or f"{line}" for line in range(100)), "some", before=7)
    lines = iter(text)
    assert [next(lines), next(lines)] == ["0", "1"]
    assert (taken, text.line) == ([0, 1], 9)


# reading


def test_tokens_are_what_stands_between_blanks() -> None:
    assert words_of("tokens", "Anna  Holm\tlives .\r\n\n don't \n") == [["Anna", "Holm", "lives", "."], [], ["don't"]]


def test_of_columns_the_first_is_read() -> None:
    content = "-DOCSTART- O\n\nAnna NNP B-PER\nHolm NNP I-PER\n\n\nOslo NNP x\n"
    assert words_of("conll", content) == [["Anna", "Holm"], ["Oslo"]]


def test_columns_that_change_their_number_are_reported_with_the_line() -> None:
    with pytest.raises(UserError, match=r"^some:2: 3 columns, line 1 has 2"):
        words_of("conll", "Anna X\nHolm X Y\n")


def test_columns_from_the_middle_of_a_file_are_read_as_its_head_says() -> None:
    form = INPUT_FORMATS["conll"]
    assert form.head is not None
    assert form.head(text_of("\n-DOCSTART- O\n")) is None
    head = form.head(text_of("\n\nAnna X\tO\n", before=4))
    assert head == Shape("tab", 2, 7)
    lines = ["a b\tO", "", "c d"]
    pieces = form.pieces(NumberedLines(lines, "some", 20, head))
    assert next(pieces).words == ["a b"]
    with pytest.raises(UserError, match=r"^some:23: 1 column, line 7 has 2\. Columns are split on tabs"):
        next(pieces)


SECOND = ColumnFormat(word=1, tag=2)


@pytest.mark.parametrize(
    ("columns", "content", "words"),
    [
        (SECOND, "1 Anna O\n2 won O\n", [["Anna", "won"]]),
        (SECOND, "Anna\nwon\n", [["Anna", "won"]]),  # one cell is the word
        (ColumnFormat(word=-1, tag=0), "O Anna\n", [["Anna"]]),
        (ColumnFormat(docstart="keep"), "-DOCSTART- O\n\nAnna O\n", [["-DOCSTART-"], ["Anna"]]),
        (ColumnFormat(separator="tab"), "New York\tO\n", [["New York"]]),
        (ColumnFormat(), "# NN O\n1 CD O\n\n#tag NN O\n\n# NN B-X=Y\n", [["#", "1"], ["#tag"], ["#"]]),
        (ColumnFormat(), "##\nAnna\n", [["##", "Anna"]]),
    ],
)
def test_words_come_from_the_column_of_the_runs_data(
    columns: ColumnFormat, content: str, words: list[list[str]]
) -> None:
    form = columns_input(columns, lone_words=True)
    assert form.head is not None
    text = NumberedLines(text_of(content), "some", head=form.head(text_of(content)))
    assert [piece.words for piece in form.pieces(text)] == words


@pytest.mark.parametrize(
    ("columns", "content", "complaint"),
    [
        (ColumnFormat(), "# sent_id = 1\n1\tAnna\tO\n", r"some:1: '# sent_id = 1' is a comment line"),
        (ColumnFormat(), "# id 52 domain=en\nanna _ _ O\n", r"some:1: .* is a comment line.*grep -v '\^#\.\*=' some"),
        (ColumnFormat(), "Anna O\n\n" * 200 + "# id 5\nwon O\n", r"some:401: '# id 5' is a comment line"),
        (ColumnFormat(), "###MEDLINE:95\n\nIL-2\n", r"some:1: .* is a comment line"),
        (ColumnFormat(), "1\tAnna\n2\twon\n\n1\tShe\n2\tlost\n", r"some:1: column 0 counts .*data\.columns\.word=1"),
        (SECOND, "Anna B-PER\nwon O\n", r"some:1: column 1 holds tags .*data\.columns\.word"),
        (ColumnFormat(word=3), "Anna O\n", r"some:1: column 3 \(word\) was asked for.*Set data\.columns"),
        (ColumnFormat(separator="tab"), "Anna O\n", r"some:1: one cell, 'Anna O'.*data\.separator=any"),
        (ColumnFormat(), "word,tag\nAnna,O\nthis one,O\n", r"some:1: it is CSV"),
    ],
)
def test_columns_in_which_no_words_can_be_told_are_refused(columns: ColumnFormat, content: str, complaint: str) -> None:
    form = columns_input(columns, lone_words=True)
    assert form.head is not None
    with pytest.raises(UserError, match=complaint):
        list(form.pieces(NumberedLines(text_of(content), "some", head=form.head(text_of(content)))))


def test_json_lines_hold_tokens_or_text() -> None:
    content = '{"tokens": ["Anna", "x y"], "tags": ["O", "O"]}\n\n{"text": "It rained. Anna won."}\n{"tokens": []}\n'
    assert words_of("jsonl", content) == [["Anna", "x y"], [], ["It", "rained", ".", "Anna", "won", "."], []]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("Anna lives", r"some:2: not JSON \(.*column 1\)"),
        ('{"tokens": ["Anna"', r"some:2: not JSON"),
        ('{"words": ["Anna"]}', r"some:2: .*[Ee]xpected"),
        ('{"tokens": "Anna"}', r"some:2: .*[Ee]xpected"),
        ('{"tokens": ["Anna", 3]}', r"some:2: .*[Ee]xpected"),
        ('{"tokens": ["Anna", ""]}', r"some:2: .*[Ee]xpected"),
        ("[1]", r"some:2: .*[Ee]xpected"),
        ("3", r"some:2: .*[Ee]xpected"),
    ],
)
def test_a_bad_json_line_is_reported_with_its_number(line: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read("jsonl", f'{{"tokens": ["Anna"]}}\n{line}\n')


def test_running_text_becomes_sentences_that_know_their_places() -> None:
    first, second = read("text", " It rained.  Anna won. \n")
    assert (first.text, second.text) == (" It rained.", "  Anna won. ")
    assert (first.closes, second.closes) == (False, True)
    for piece in (first, second):
        assert piece.tokens is not None
        assert [piece.text[token.start : token.end] for token in piece.tokens] == piece.words
    assert first.words == ["It", "rained", "."]


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=60))
def test_running_text_comes_out_as_it_went_in(line: str) -> None:
    pieces = read("text", line + "\n")
    assert "".join(piece.text for piece in pieces) == line
    assert [piece.closes for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert "".join(OUTPUT_FORMATS["text"](piece, ["O"] * len(piece.words)) for piece in pieces) == line + "\n"
    for piece in pieces:
        assert piece.tokens is not None
        assert [piece.text[token.start : token.end] for token in piece.tokens] == piece.words


# writing

TOKENS = InputSentence(["Anna", "Holm", "left", "Oslo"])
RUNNING = InputSentence(
    ["Anna", "Holm", "left", "Oslo", "."],
    [Token("Anna", 1, 5), Token("Holm", 7, 11), Token("left", 12, 16), Token("Oslo", 17, 21), Token(".", 21, 22)],
    " Anna  Holm left Oslo. ",
)


def test_columns_are_written_with_a_blank_line_behind_each_sentence() -> None:
    expected = "Anna B-PER\nHolm I-PER\nleft O\nOslo B-LOC\n\n"
    assert write("conll", TOKENS, "B-PER I-PER O B-LOC") == expected


def test_json_lines_are_written_with_entities_in_words() -> None:
    line = write("jsonl", TOKENS, "B-PER I-PER O B-LOC")
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "tokens": TOKENS.words,
        "tags": ["B-PER", "I-PER", "O", "B-LOC"],
        "entities": [
            {"type": "PER", "start": 0, "end": 2, "text": "Anna Holm"},
            {"type": "LOC", "start": 3, "end": 4, "text": "Oslo"},
        ],
    }


def test_each_line_of_json_gives_a_line_with_all_that_was_in_it() -> None:
    content = [
        '{"id": "a", "text": "In  Oslo.", "tags": ["?"]}',
        '{"id": "b", "text": ""}',
        "",
        '{"tokens": [], "meta": {"n": 1.50}}',
    ]
    pieces = read("jsonl", "\n".join(content) + "\n")
    tags = ["O B-LOC O", "", "", ""]
    lines = [write("jsonl", piece, row) for piece, row in zip(pieces, tags, strict=True)]
    assert [line.count("\n") for line in lines] == [1, 1, 1, 1]
    assert lines[2] == "\n"
    place = {"type": "LOC", "start": 1, "end": 2, "start_char": 4, "end_char": 8, "text": "Oslo"}
    nothing = {"tokens": [], "tags": [], "entities": []}
    assert [json.loads(line or "null") for line in map(str.strip, lines)] == [
        {
            "id": "a",
            "text": "In  Oslo.",
            "tokens": ["In", "Oslo", "."],
            "tags": ["O", "B-LOC", "O"],
            "entities": [place],
        },
        {"id": "b", "text": "", **nothing},
        None,
        {"meta": {"n": 1.5}, **nothing},
    ]


@pytest.mark.parametrize(
    ("line", "words", "entities"),
    [
        (  # the record's own words, which `tokenize` would cut otherwise
            '{"text": "Anna-Bo won.", "tokens": ["Anna", "-", "Bo", "won."]}',
            "Anna - Bo won.",
            [{"type": "PER", "start": 0, "end": 3, "start_char": 0, "end_char": 7, "text": "Anna-Bo"}],
        ),
        (
            '{"text": "Anna -- won", "tokens": ["Anna", "won"]}',
            "Anna won",
            [{"type": "PER", "start": 0, "end": 1, "text": "Anna"}],
        ),
        (
            '{"text": "Anna won", "tokens": [{"text": "Anna", "id": 0}]}',
            "Anna won",
            [{"type": "PER", "start": 0, "end": 1, "start_char": 0, "end_char": 4, "text": "Anna"}],
        ),
    ],
)
def test_words_of_a_record_are_kept_and_have_places_where_its_text_holds_them(
    line: str, words: str, entities: list[object]
) -> None:
    (piece,) = read("jsonl", line + "\n")
    assert piece.words == words.split()
    tags = "B-PER I-PER I-PER O" if len(piece.words) == 4 else "B-PER O"
    assert json.loads(write("jsonl", piece, tags))["entities"] == entities


def test_json_lines_quote_running_text_as_it_stands() -> None:
    entities = json.loads(write("jsonl", RUNNING, "B-PER I-PER O B-LOC O"))["entities"]
    assert [entity["text"] for entity in entities] == ["Anna  Holm", "Oslo"]


def test_json_lines_keep_letters_readable() -> None:
    assert "\u00c5lesund" in write("jsonl", InputSentence(["\u00c5lesund"]), "O")


def test_text_is_written_with_its_entities_marked() -> None:
    assert write("text", TOKENS, "B-PER I-PER O B-LOC") == "[PER Anna Holm] left [LOC Oslo]\n"
    assert write("text", TOKENS, "B-PER B-PER O O") == "[PER Anna] [PER Holm] left Oslo\n"
    assert write("text", RUNNING, "B-PER I-PER O B-LOC O") == " [PER Anna  Holm] left [LOC Oslo]. \n"


def test_an_entity_that_opens_with_i_is_marked_as_conlleval_counts_it() -> None:
    assert write("text", TOKENS, "I-PER I-LOC O O") == "[PER Anna] [LOC Holm] left Oslo\n"


def test_a_sentence_without_words_is_an_empty_line_of_text_and_nothing_else() -> None:
    assert [write(form, InputSentence([]), "") for form in ("conll", "jsonl", "text")] == ["", "", "\n"]
