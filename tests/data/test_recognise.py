"""Recognising an input's format: one table of names and first lines."""

import pytest

from ner_lab.data.readers.recognition import FIRST_LINES, predicted_beside_gold, recognise

LONG = "The O\nfirst O\n" + "Oslo B-LOC\n" * FIRST_LINES


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.conll", "conll"),
        ("a.iob2", "conll"),
        ("a.conllu", "conll"),
        ("a.CoNLL", "conll"),
        ("dir.jsonl/a.tsv", "conll"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.tok", "tokens"),
        ("a.csv", "conll"),  # its reader says how to convert it
    ],
)
def test_a_name_decides_whatever_the_content(name: str, kind: str) -> None:
    found = recognise(name, ["Anna lives in Oslo."])
    assert (found.kind, found.by_name) == (kind, True)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("", "text"),
        ("\n\n", "text"),
        ("Anna lives in Oslo.\n", "text"),
        ("Anna lives in Oslo.\nIt rained all day long.\n\nNobody was hurt.\n", "text"),
        ("Anna lives in Oslo.\n\nIt rained all day.\n", "text"),  # four words each, but paragraphs
        ("Anna lives in Oslo.\nIt rained all day.\n", "text"),
        ("New York\nLos Angeles\nSan Jose\n\nEl Paso\n", "text"),
        ("NEW YORK\nWEST YORK\nEAST YORK\nLOG IN\n", "text"),
        ("SIGN IN\nLOG IN\n", "text"),
        ("Hello .\nBye .\n", "text"),
        ("Main Street\n" * FIRST_LINES, "text"),
        ("# Title\n\nAnna lives in Oslo.\nIt rained.\n", "text"),
        ("1\tAnna lives in Oslo.\n2\tIt rained.\n", "text"),
        ("Anna\nlives\nin\nOslo\n.\n\nIt\nrained\n", "conll"),
        ("Anna B-PER\nlives O\n\nIt O\nrained O\n", "conll"),
        ("Anna B-PER\n\nOslo B-LOC\n", "conll"),
        ("Anna O\nleft O\n", "conll"),
        ("Anna B-PER\nleft O\nfor O\nNew York O\nOslo B-LOC\n", "conll"),  # its reader reports the line
        ("Anna NNP\nHolm NNP\nran VBD\n", "conll"),
        ("Anna NNP B-NP\nran VBD B-VP\n. . O\n", "conll"),
        ("Anna XY\nran ZW\nHolm XY\nsat ZW\n", "conll"),
        ("Anna\tX\tO\nlives\tX\tO\n\nIt\tX\tO\n", "conll"),
        ("lives\tlive\nwon\twin\n", "conll"),
        ("# sent_id = 1\n1\tAnna\tB-PER\n2\tleft\tO\n", "conll"),  # its reader reports the comment
        ("-DOCSTART- -X- O\n\nAnna NNP\nran VBD\n", "conll"),
        ("\u5c0f B-PER\n\u660e I-PER\n" * FIRST_LINES, "conll"),
        (LONG, "conll"),
        ('{"tokens": ["Anna"]}\n', "jsonl"),
        ('\n  {"text": "Anna"}\n', "jsonl"),
    ],
)
def test_first_lines_decide_where_the_name_does_not(content: str, kind: str) -> None:
    found = recognise("some.txt", content.split("\n")[:-1][:FIRST_LINES])
    assert (found.kind, found.by_name) == (kind, False)


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("Anna B-PER B-PER\nHolm I-PER O\nOslo B-LOC B-LOC", 1),
        ("Anna NNP B-NP I-PER S-PER\nran VBD B-VP O O\nOslo NNP B-NP I-LOC O", 3),
        ("EU NNP I-NP I-ORG\nrejects VBZ I-VP O\nGerman JJ I-NP I-MISC", None),  # chunks
        ("Bank B-ORG O\nof I-ORG O\nOslo I-ORG B-LOC\nwon O O", None),  # an entity within another
        ("Anna O B-PER\nran O O", None),
        ("Anna B-PER\nran O", None),
        ("B-PER B-PER\nO O", None),  # the first column has words
    ],
)
def test_predictions_beside_gold_are_told_from_chunks_and_nested_entities(text: str, gold: int | None) -> None:
    rows = [line.split() for line in text.splitlines()]
    assert predicted_beside_gold(rows, len(rows[0]) - 1) == gold


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("d7\tAnna lives in Oslo.\nd8\tIt rained.\n", "text"),
        ("New York\tB-Drug Name\nlives\tO\n", "conll"),
        ("# text = Anna lives in Oslo\n1\tAnna\tB-PER\n", "conll"),
        ("Anna NNP I-NP B-PER\nlives VBZ I-VP O\n", "conll"),  # columns between blanks
    ],
)
def test_a_table_of_documents_is_text_whatever_its_name(content: str, kind: str) -> None:
    assert recognise("some.tsv", content.splitlines()).kind == kind
