"""Scores by what is known of an entity's words: the classes, their counts, and the paper's numbers of entities."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.config.compose import compose_config
from ner_lab.config.instantiate import data_options_of
from ner_lab.data.preparation import prepare
from ner_lab.data.tags import Span, spans_of
from ner_lab.evaluation.oov import entity_class, oov_scores
from ner_lab.io.download import Progress
from ner_lab.models.features.none import NoFeatures

CLASSES = {"Anna": "IV", "Holm": "IV", "Kvik": "OOTV", "Xyq": "OOEV", "Qyx": "OOBV", "met": "IV"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Anna", "IV"),
        ("Anna Holm", "IV"),
        ("Kvik", "OOTV"),
        ("Anna Kvik Kvik", "OOTV"),
        ("Xyq", "OOEV"),
        ("Xyq Holm", "OOEV"),
        ("Qyx", "OOBV"),
        ("Qyx Holm", "OOBV"),
        ("Kvik Xyq", "OOBV"),  # one word is not in train, another not in the file
        ("Xyq Anna Kvik", "OOBV"),
        ("Qyx Kvik", "OOBV"),
        ("Qyx Xyq", "OOBV"),
    ],
)
def test_a_single_word_of_an_entity_decides_what_it_lacks(words: str, expected: str) -> None:
    assert entity_class(words.split(), CLASSES) == expected


def test_gold_and_predicted_entities_are_counted_in_the_classes_of_their_own_words() -> None:
    sentences = [
        (
            ["Anna", "Kvik", "met", "Xyq"],
            [Span("PER", 0, 2), Span("ORG", 3, 4)],
            [Span("PER", 0, 1), Span("ORG", 3, 4)],  # too short, so of another class; right
        ),
        (["Qyx", "met", "Holm"], [Span("PER", 0, 1), Span("PER", 2, 3)], [Span("LOC", 0, 1), Span("PER", 2, 3)]),
    ]
    scores = oov_scores(sentences, CLASSES)
    assert scores is not None
    half = {"precision": 50.0, "recall": 100.0, "f1": pytest.approx(200 / 3)}
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert scores == {
        "IV": {**half, "gold": 1, "predicted": 2, "correct": 1},
        "OOTV": {**nothing, "gold": 1, "predicted": 0, "correct": 0},
        "OOEV": {"precision": 100.0, "recall": 100.0, "f1": 100.0, "gold": 1, "predicted": 1, "correct": 1},
        "OOBV": {**nothing, "gold": 1, "predicted": 1, "correct": 0},
    }


def test_where_a_word_of_an_entity_is_unheard_of_there_are_no_scores() -> None:
    gold, guess = [Span("PER", 0, 1)], [Span("PER", 0, 2)]
    assert oov_scores([(["Anna", "new"], gold, gold)], CLASSES) is not None, "outside entities any word will do"
    assert oov_scores([(["Anna", "new"], gold, guess)], CLASSES) is None
    assert oov_scores([(["Anna", "new"], guess, [])], CLASSES) is None


tags = st.sampled_from(["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
tokens = st.lists(st.tuples(st.sampled_from(sorted(CLASSES)), tags, tags), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(tokens, max_size=5))
def test_the_classes_sum_to_the_whole_and_each_is_as_defined(
    rows: list[list[tuple[str, str, str]]],
) -> None:
    sentences = [
        ([row[0] for row in sentence], spans_of([row[1] for row in sentence]), spans_of([row[2] for row in sentence]))
        for sentence in rows
    ]
    scores: Any = oov_scores(sentences, CLASSES)

    def defined(words: list[str], spans: list[Span], name: str) -> int:
        number = 0
        for span in spans:
            inside = words[span.start : span.end]
            unseen = any(word in ("Kvik", "Qyx") for word in inside)
            without_vector = any(word in ("Xyq", "Qyx") for word in inside)
            number += (unseen, without_vector) == (name in ("OOTV", "OOBV"), name in ("OOEV", "OOBV"))
        return number

    for name in scores:
        assert scores[name]["gold"] == sum(defined(words, gold, name) for words, gold, _ in sentences)
        assert scores[name]["predicted"] == sum(defined(words, guess, name) for words, _, guess in sentences)
        both = [(words, sorted(set(gold) & set(guess))) for words, gold, guess in sentences]
        assert scores[name]["correct"] == sum(defined(words, spans, name) for words, spans in both)
    totals = {
        "gold": sum(len(gold) for _, gold, _ in sentences),
        "predicted": sum(len(guess) for _, _, guess in sentences),
        "correct": sum(len(set(gold) & set(guess)) for _, gold, guess in sentences),
    }
    assert {kind: sum(row[kind] for row in scores.values()) for kind in totals} == totals


REAL = os.environ.get("NER_LAB_DATA")
TABLE_8_AND_9 = {  # Ma & Hovy 2016: entities of CoNLL-2003
    "dev": {"IV": 4616, "OOTV": 1087, "OOEV": 44, "OOBV": 195},
    "test": {"IV": 3773, "OOTV": 1597, "OOEV": 8, "OOBV": 270},
}


class Vocabulary:
    """The words of a file of vectors, with a zero in place of each vector."""

    lookup = ("exact", "lower", "lower_zero_digits")
    min_coverage = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, cache: Path, progress: Progress | None) -> Path:
        return self.path

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        words = path.read_text(encoding="utf-8").split("\n")
        kept = [word for word in words if wanted is None or word in wanted]
        return kept, np.zeros((len(kept), 1), dtype=np.float32)

    def fingerprint(self) -> dict[str, Any]:
        return {}


@pytest.mark.realdata
@pytest.mark.skipif(not REAL, reason="NER_LAB_DATA is not set")
@pytest.mark.parametrize("digits", ["keep", "zero_run"])
def test_entities_of_conll2003_fall_into_the_classes_as_ma_and_hovy_counted_them(digits: str, tmp_path: Path) -> None:
    folder = Path(str(REAL))
    overrides = ["data=conll2003", f"data.dir={folder / 'conll2003'}", f"data.cache_dir={tmp_path}"]
    overrides += [f"data.digits={digits}", f"data.lowercase={digits == 'zero_run'}"]
    options = data_options_of(compose_config(overrides))
    found = prepare(options, NoFeatures(), Vocabulary(folder / "embeddings" / "glove.6B.50d.vocab.txt"))
    for name, expected in TABLE_8_AND_9.items():
        split = found.splits[name]
        rows = [split.labels[begin:end] for begin, end in zip(split.starts[:-1], split.starts[1:], strict=True)]
        gold = [spans_of([found.labels[label] for label in row]) for row in rows]
        sentences = [(split.words_of(number), spans, spans) for number, spans in enumerate(gold)]
        scores: Any = oov_scores(sentences, found.vocabs.word_classes)
        assert {name: row["gold"] for name, row in scores.items()} == expected
