"""Mistakes: read back from files, paired and named by rule, and scores in parts that sum to the whole."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import marked, metrics_of

from ner_lab.data.tags import Span, tags_of
from ner_lab.errors import UserError
from ner_lab.evaluation.error_analysis import (
    KINDS,
    Mistake,
    Prediction,
    by_entity_length,
    by_sentence_length,
    mistakes_of,
    read_predictions,
    scores_by_type,
    sentence_counts,
    type_confusion,
)

COLUMNS = ("correct", "predicted", "gold")


def prediction(gold: str, predicted: str) -> Prediction:
    """A sentence from two lines with entities marked."""
    (truth,), (guess,) = marked(gold), marked(predicted)
    assert truth.words == guess.words
    return Prediction(truth.words, truth.spans, guess.spans)


def counts_in(rows: dict[str, dict[str, int]]) -> dict[str, tuple[int, ...]]:
    """Bins that are not empty."""
    counts = {name: tuple(row[column] for column in COLUMNS) for name, row in rows.items()}
    return {name: row for name, row in counts.items() if any(row)}


def spans_from(pieces: list[tuple[int, int, str]]) -> list[Span]:
    """Gap, length and type of one span after another."""
    spans, place = [], 0
    for gap, length, entity_type in pieces:
        spans.append(Span(entity_type, place + gap, place + gap + length))
        place += gap + length
    return spans


spans = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(["LOC", "PER"])), max_size=5).map(
    spans_from
)
sentences = st.builds(lambda gold, predicted: Prediction(["w"] * 30, gold, predicted), spans, spans)


def shared(gold: Span, predicted: Span) -> int:
    return len({*range(gold.start, gold.end)} & {*range(predicted.start, predicted.end)})


# pairs and kinds


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ("[PER Anna Holm] left", "[PER Anna Holm] left", []),
        ("[PER Anna Holm] left", "[LOC Anna Holm] left", [("wrong type", 0, 0)]),
        ("[PER Anna Holm] left", "[PER Anna] Holm left", [("wrong boundary", 0, 0)]),
        ("[PER Anna Holm] left", "Anna [LOC Holm left]", [("wrong type and boundary", 0, 1)]),
        ("[PER Anna Holm] left", "Anna Holm left", [("missed", 0, None)]),
        ("Anna Holm left", "[PER Anna Holm] left", [("spurious", None, 0)]),
        ("[PER Anna] Holm left", "Anna [PER Holm] left", [("missed", 0, None), ("spurious", None, 1)]),
        # the larger part of a broken entity is its pair, whatever its type
        ("[PER a b c]", "[LOC a b] [PER c]", [("wrong type and boundary", 0, 0), ("spurious", None, 2)]),
        ("[PER a b c]", "[PER a] [LOC b c]", [("spurious", None, 0), ("wrong type and boundary", 0, 1)]),
        # of parts of equal length the one of the same type, else the one to the left
        ("[PER a b]", "[LOC a] [PER b]", [("wrong boundary", 0, 1), ("spurious", None, 0)]),
        ("[PER a b]", "[PER a] [PER b]", [("wrong boundary", 0, 0), ("spurious", None, 1)]),
        ("[LOC a] [LOC b]", "[PER a b]", [("wrong type and boundary", 0, 0), ("missed", 1, None)]),
        # a pair leaves the next best to those it does not take
        ("[PER a b c] [PER d e]", "a [PER b c d] e", [("wrong boundary", 0, 1), ("missed", 3, None)]),
        ("[PER a b] [PER c d]", "[PER a] [PER b c] d", [("wrong boundary", 0, 0), ("wrong boundary", 2, 1)]),
        # what is right takes no part
        ("[PER a] [LOC b]", "[PER a] [ORG b]", [("wrong type", 1, 1)]),
    ],
)
def test_spans_are_paired_and_named_as_defined(
    gold: str, predicted: str, expected: list[tuple[str, int | None, int | None]]
) -> None:
    found = mistakes_of([prediction(gold, predicted)])
    starts = [(m.kind, m.gold and m.gold.start, m.predicted and m.predicted.start) for m in found]
    assert sorted(starts, key=str) == sorted(expected, key=str)


def test_mistakes_come_by_sentence_and_from_left_to_right() -> None:
    predictions = [
        prediction("[PER a] b [LOC c] [ORG d]", "[LOC a] [PER b] c [ORG d]"),
        prediction("a", "a"),
        prediction("[PER a b] [LOC c]", "a [PER b] [LOC c]"),
    ]
    assert mistakes_of(predictions) == [
        Mistake("wrong type", 0, Span("PER", 0, 1), Span("LOC", 0, 1)),
        Mistake("spurious", 0, None, Span("PER", 1, 2)),
        Mistake("missed", 0, Span("LOC", 2, 3), None),
        Mistake("wrong boundary", 2, Span("PER", 0, 2), Span("PER", 1, 2)),
    ]


@settings(max_examples=150, deadline=None)
@given(sentences)
def test_every_wrong_span_is_in_one_mistake_and_no_correct_span_is_in_any(sentence: Prediction) -> None:
    correct = set(sentence.gold) & set(sentence.predicted)
    mistakes = mistakes_of([sentence])
    assert Counter(m.gold for m in mistakes if m.gold) == Counter(set(sentence.gold) - correct)
    assert Counter(m.predicted for m in mistakes if m.predicted) == Counter(set(sentence.predicted) - correct)
    kinds = Counter(m.kind for m in mistakes)
    assert kinds.keys() <= set(KINDS)
    assert kinds.total() - kinds["spurious"] == len(sentence.gold) - len(correct)
    assert kinds.total() - kinds["missed"] == len(sentence.predicted) - len(correct)


@settings(max_examples=150, deadline=None)
@given(sentences)
def test_a_kind_says_what_its_spans_share(sentence: Prediction) -> None:
    for kind, _, gold, predicted in mistakes_of([sentence]):
        if gold is None or predicted is None:
            assert kind == ("missed" if predicted is None else "spurious")
            continue
        assert shared(gold, predicted)
        same_type, same_tokens = gold.type == predicted.type, gold[1:] == predicted[1:]
        assert (
            kind
            == {
                (False, True): "wrong type",
                (True, False): "wrong boundary",
                (False, False): "wrong type and boundary",
            }[same_type, same_tokens]
        )


@settings(max_examples=200, deadline=None)
@given(sentences)
def test_no_two_spans_would_both_rather_be_paired_with_each_other(sentence: Prediction) -> None:
    # pairs by rank, the best first, are the one set of pairs with no such two
    def rank(gold: Span, predicted: Span) -> tuple[int, bool, int, int]:
        return -shared(gold, predicted), gold.type != predicted.type, gold.start, predicted.start

    mistakes = mistakes_of([sentence])
    pair_of: dict[tuple[str, Span], tuple[int, bool, int, int]] = {}
    for _, _, gold, predicted in mistakes:
        if gold and predicted:
            pair_of["gold", gold] = pair_of["predicted", predicted] = rank(gold, predicted)
    nothing = (0, False, 0, 0)
    for gold in {m.gold for m in mistakes if m.gold}:
        for predicted in {m.predicted for m in mistakes if m.predicted}:
            own = pair_of.get(("gold", gold), nothing), pair_of.get(("predicted", predicted), nothing)
            assert not shared(gold, predicted) or rank(gold, predicted) >= min(own)


# types


def test_types_are_confused_as_counted_by_hand() -> None:
    predictions = [
        prediction("[PER a b] [LOC c] d [LOC e]", "[PER a] [ORG b] [LOC c] [LOC d] e"),  # boundary, spurious, right
        prediction("[PER a] [PER b] [LOC c d]", "[LOC a] b c [PER d]"),
    ]
    labels, counts = type_confusion(predictions)
    assert labels == ["LOC", "ORG", "PER", "O"]
    assert counts == [
        [1, 0, 1, 1],
        [0, 0, 0, 0],
        [1, 0, 1, 1],
        [1, 1, 0, 0],
    ]


def test_a_type_named_like_no_entity_is_a_type_of_its_own() -> None:
    labels, counts = type_confusion([Prediction(["a", "b"], [Span("O", 0, 1)], [Span("O", 1, 2)])])
    assert (labels, counts) == (["O", "O"], [[0, 1], [1, 0]])


@settings(max_examples=60, deadline=None)
@given(st.lists(sentences, max_size=4))
def test_rows_sum_to_gold_spans_columns_to_predicted_and_types_to_the_scores(predictions: list[Prediction]) -> None:
    labels, counts = type_confusion(predictions)
    gold = Counter(span.type for sentence in predictions for span in sentence.gold)
    predicted = Counter(span.type for sentence in predictions for span in sentence.predicted)
    for number, label in enumerate(labels[:-1]):
        assert sum(counts[number]) == gold[label]
        assert sum(row[number] for row in counts) == predicted[label]
    assert counts[-1][-1] == 0
    kinds = Counter(mistake.kind for mistake in mistakes_of(predictions))
    by_type = scores_by_type(predictions)
    assert list(by_type) == labels[:-1]
    correct = sum(row["correct"] for row in by_type.values())
    assert sum(counts[n][n] for n in range(len(labels))) == correct + kinds["wrong boundary"]
    assert {name: (row["gold"], row["predicted"]) for name, row in by_type.items()} == {
        label: (gold[label], predicted[label]) for label in labels[:-1]
    }


# bins


@pytest.mark.parametrize(
    ("length", "name"),
    [
        (1, "1-5"),
        (5, "1-5"),
        (6, "6-10"),
        (10, "6-10"),
        (11, "11-20"),
        (20, "11-20"),
        (21, "21-40"),
        (40, "21-40"),
        (41, "41+"),
        (400, "41+"),
    ],
)
def test_a_sentence_is_counted_in_the_bin_of_its_length(length: int, name: str) -> None:
    first = Span("PER", 0, 1)
    sentence = Prediction(["w"] * length, [first], [first])
    rows = by_sentence_length([sentence, sentence])
    assert list(rows) == ["1-5", "6-10", "11-20", "21-40", "41+"]
    assert counts_in(rows) == {name: (2, 2, 2)}
    assert rows[name]["f1"] == 100.0


@pytest.mark.parametrize(("length", "name"), [(1, "1"), (2, "2"), (3, "3"), (4, "4+"), (9, "4+")])
def test_gold_and_predicted_entities_are_each_counted_by_their_own_length(length: int, name: str) -> None:
    sentence = Prediction(["w"] * 20, [Span("PER", 10, 10 + length)], [Span("LOC", 0, length)])
    assert counts_in(by_entity_length([sentence])) == {name: (0, 1, 1)}
    longer = Prediction(["w"] * 20, [Span("PER", 0, length)], [Span("PER", 0, 12)])
    rows = by_entity_length([longer])
    assert list(rows) == ["1", "2", "3", "4+"]
    assert counts_in(rows) == ({name: (0, 0, 1), "4+": (0, 1, 0)} if length < 4 else {"4+": (0, 1, 1)})


@settings(max_examples=60, deadline=None)
@given(st.lists(sentences, max_size=4))
def test_bins_types_and_sentences_sum_to_the_same_whole(predictions: list[Prediction]) -> None:
    whole = (
        sum(len(set(sentence.gold) & set(sentence.predicted)) for sentence in predictions),
        sum(len(sentence.predicted) for sentence in predictions),
        sum(len(sentence.gold) for sentence in predictions),
    )
    for rows in (scores_by_type(predictions), by_sentence_length(predictions), by_entity_length(predictions)):
        assert tuple(sum(row[column] for row in rows.values()) for column in COLUMNS) == whole
    counts = sentence_counts(predictions)
    assert counts.shape == (len(predictions), 3)
    assert counts.dtype.kind == "i"
    assert tuple(counts.sum(axis=0)) == whole


def test_sentences_are_counted_one_by_one() -> None:
    predictions = [
        prediction("[PER a] [LOC b]", "[PER a] b"),
        prediction("a b", "a b"),
        prediction("[PER a b]", "[PER a] [PER b]"),
    ]
    assert sentence_counts(predictions).tolist() == [[1, 1, 2], [0, 0, 0], [0, 2, 1]]


# files


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("scheme", ["IOB2", "IOBES"])
@settings(max_examples=30, deadline=None)
@given(predictions=st.lists(sentences, min_size=1, max_size=4))
def test_what_is_written_in_columns_is_read_back(
    scheme: str, predictions: list[Prediction], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = ""
    for sentence in predictions:
        gold, guess = (tags_of(found, len(sentence.words), scheme) for found in sentence[1:])
        text += "".join(" ".join(row) + "\n" for row in zip(sentence.words, gold, guess, strict=True)) + "\n"
    assert read_predictions(written(tmp_path_factory.mktemp("read") / "a.conll", text)) == predictions


def test_improper_sequences_are_read_as_the_shared_task_reads_them(tmp_path: Path) -> None:
    text = "a I-PER O\nb I-PER I-LOC\nc I-LOC B-LOC\nd O I-LOC\n\ne I-LOC I-LOC\n"
    assert read_predictions(written(tmp_path / "a", text)) == [
        Prediction(
            ["a", "b", "c", "d"],
            [Span("PER", 0, 2), Span("LOC", 2, 3)],
            [Span("LOC", 1, 2), Span("LOC", 2, 4)],
        ),
        Prediction(["e"], [Span("LOC", 0, 1)], [Span("LOC", 0, 1)]),
    ]


def test_line_ends_and_rare_blanks_within_words_change_nothing(tmp_path: Path) -> None:
    expected = [Prediction(["a\u00a0b", "\u2028"], [Span("PER", 0, 1)], []), Prediction(["\u0085"], [], [])]
    text = "a\u00a0b B-PER O\n\u2028 O O\n\n\u0085 O O\n\n"
    for variant in (text, text.rstrip("\n"), "\n\n" + text + "\n\n", text.replace("\n", "\r\n")):
        assert read_predictions(written(tmp_path / "a", variant)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O O\nb O\n", ":2: 2 columns. Expected three with one blank between them, `token gold predicted`."),
        ("\na O\tO\n", ":2: 2 columns"),
        ("a NNP O O\n", ":1: 4 columns"),
        (" O O\n", ":1: 2 columns"),
        ("a O O\n\nb PER O\n", ":3: 'PER' is not a tag"),
        ("a O O\nb O X-LOC\n", ":2: 'X-LOC' is not a tag"),
        ("\n\n", ": no sentences"),
    ],
)
def test_a_line_that_is_no_prediction_is_named_with_its_number(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_predictions(written(tmp_path / "test.conll", text))
    assert str(error.value).startswith(f"{tmp_path / 'test.conll'}{message}")


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"a O O\n\nr\xf8d O O\n")
    with pytest.raises(UserError, match="latin:3: not UTF-8"):
        read_predictions(tmp_path / "latin")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_runs_predictions_count_to_its_metrics(split: str, run: Path) -> None:
    predictions = read_predictions(run / "predictions" / f"{split}.conll")
    metrics = metrics_of(run)[split]
    assert sentence_counts(predictions).sum(axis=0).tolist() == [metrics[column] for column in COLUMNS]
    assert len(predictions) == metrics["sentences"]
    known = {name: row for name, row in metrics["per_type"].items() if row["gold"] or row["predicted"]}
    assert scores_by_type(predictions) == known
