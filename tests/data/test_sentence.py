"""Counts are those of the shared tasks: documents are marks, and marks are no sentences."""

import pytest

from ner_lab.data.sentence import DOCSTART, Counts, Sentence

MARK = ([DOCSTART], ["O"])


def test_counts_of_a_small_split() -> None:
    sentences = [
        Sentence(["Tom", "Ashby", "sang"], ["B-PER", "I-PER", "O"], document=0),
        Sentence(["Leeds", "York"], ["B-LOC", "B-LOC"], document=0),
        Sentence(["Rain", "."], ["O", "O"], document=1),
    ]
    assert Counts.of(sentences) == Counts(2, 3, 7, 3, {"LOC": 2, "PER": 1})


def test_document_marks_count_as_documents_only() -> None:
    sentences = [
        Sentence(*MARK, document=0),
        Sentence(["Leeds"], ["B-LOC"], document=0),
        Sentence(*MARK, document=1),
        Sentence(["York", "won"], ["B-LOC", "O"], document=1),
    ]
    assert Counts.of(sentences) == Counts(2, 2, 3, 2, {"LOC": 2})


def test_sentences_of_no_document_make_no_document() -> None:
    assert Counts.of([Sentence(["Leeds"], ["O"]), Sentence(["York"], ["O"])]).documents == 0


def test_nothing_counts_as_nothing() -> None:
    assert Counts.of([]) == Counts(0, 0, 0, 0, {})


@pytest.mark.parametrize("tags", ["I-PER I-PER B-PER", "B-PER I-PER B-PER", "B-PER E-PER S-PER", "B-PER L-PER U-PER"])
def test_entities_are_counted_alike_in_every_scheme(tags: str) -> None:
    assert Counts.of([Sentence(["a", "b", "c"], tags.split())]).per_type == {"PER": 2}
