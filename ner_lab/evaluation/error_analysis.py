"""Error analysis: prediction files, kinds of mistakes, and scores of subsets.

A gold span is found, and a predicted one correct, if both have the same type and the same tokens.
Every other span of a sentence, gold or predicted, belongs to exactly one mistake. A mistake is a pair
of a gold and a predicted span that share a token, or a single span:

    wrong type               the same tokens, another type
    wrong boundary           the same type, other tokens
    wrong type and boundary  both different
    missed                   an unpaired gold span
    spurious                 an unpaired predicted span

Pairs are formed greedily by the number of shared tokens, most first; ties prefer pairs of one type,
then those further left. A span is in at most one pair, so a span that overlaps only spans already
paired is missed or spurious. Hence

    gold - correct      = mistakes that have a gold span      (all but spurious)
    predicted - correct = mistakes that have a predicted span (all but missed)
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ner_lab.data.tags import OUTSIDE, Span, spans_of, split_tag
from ner_lab.errors import UserError
from ner_lab.evaluation.precision_recall import span_scores

WRONG_TYPE, WRONG_BOUNDARY, WRONG_BOTH = "wrong type", "wrong boundary", "wrong type and boundary"
MISSED, SPURIOUS = "missed", "spurious"
KINDS = (WRONG_TYPE, WRONG_BOUNDARY, WRONG_BOTH, MISSED, SPURIOUS)
SENTENCE_LENGTHS = {"1-5": 1, "6-10": 6, "11-20": 11, "21-40": 21, "41+": 41}
ENTITY_LENGTHS = {"1": 1, "2": 2, "3": 3, "4+": 4}
"""Bins in tokens, and the least length in each"""


class Prediction(NamedTuple):
    """A sentence with its gold and its predicted spans, each from left to right."""

    words: list[str]
    gold: list[Span]
    predicted: list[Span]

    @property
    def correct(self) -> list[Span]:
        """Spans that are both gold and predicted."""
        if self.gold == self.predicted:  # true for most sentences
            return self.gold
        return sorted(set(self.gold) & set(self.predicted), key=lambda span: span.start)


class Mistake(NamedTuple):
    """A mistake: its kind, one of `KINDS`; the number of its sentence from 0; its spans."""

    kind: str
    sentence: int
    gold: Span | None
    predicted: Span | None


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read a file with lines `token gold predicted`, separated by single blanks, and blank lines between sentences.

    Tags may be in any scheme and are read as conlleval reads them, including improper sequences.
    """
    content = Path(path).read_bytes()
    try:
        lines = content.decode("utf-8").split("\n")  # splitlines would also split at some rare characters
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{number}: not UTF-8 ({error.reason}). Expected a file written by ner-lab.") from None
    predictions = []
    rows: list[list[str]] = []
    proven: set[str] = set()
    for number, line in enumerate([*lines, ""], 1):
        if cells := line.rstrip("\r").split(" ") if line.strip() else []:
            if len(cells) != 3 or not proven.issuperset(cells[1:]):
                _check(cells, f"{path}:{number}")
                proven.update(cells[1:])
            rows.append(cells)
        elif rows:
            words, gold, predicted = zip(*rows, strict=True)
            predictions.append(Prediction(list(words), spans_of(gold), spans_of(predicted)))
            rows = []
    if not predictions:
        raise UserError(f"{path}: no sentences. Expected lines `token gold predicted`.")
    return predictions


def _check(cells: list[str], where: str) -> None:
    if len(cells) != 3 or not all(cells):
        raise UserError(
            f"{where}: {len(list(filter(None, cells)))} columns. Expected three with one blank between them, "
            "`token gold predicted`."
        )
    for tag in cells[1:]:
        try:
            split_tag(tag)
        except ValueError as error:
            raise UserError(f"{where}: {error}.") from None


def mistakes_of(predictions: Iterable[Prediction]) -> list[Mistake]:
    """All mistakes, by sentence, from left to right."""
    return [mistake for number, sentence in enumerate(predictions) for mistake in _mistakes_in(sentence, number)]


def _mistakes_in(sentence: Prediction, number: int) -> list[Mistake]:
    if sentence.gold == sentence.predicted:
        return []
    correct = set(sentence.correct)
    missed = [span for span in sentence.gold if span not in correct]
    spurious = [span for span in sentence.predicted if span not in correct]
    overlapping = [pair for pair in product(missed, spurious) if _shared(*pair)]
    mistakes = []
    for gold, predicted in sorted(overlapping, key=_by_shared_tokens):
        if gold in missed and predicted in spurious:
            mistakes.append(Mistake(_kind(gold, predicted), number, gold, predicted))
            missed.remove(gold)
            spurious.remove(predicted)
    mistakes += [Mistake(MISSED, number, gold, None) for gold in missed]
    mistakes += [Mistake(SPURIOUS, number, None, predicted) for predicted in spurious]
    return sorted(mistakes, key=_place)


def _shared(gold: Span, predicted: Span) -> int:
    return max(0, min(gold.end, predicted.end) - max(gold.start, predicted.start))


def _by_shared_tokens(pair: tuple[Span, Span]) -> tuple[int, bool, int, int]:
    gold, predicted = pair
    return -_shared(gold, predicted), gold.type != predicted.type, gold.start, predicted.start


def _kind(gold: Span, predicted: Span) -> str:
    if gold.type == predicted.type:
        return WRONG_BOUNDARY
    return WRONG_TYPE if gold[1:] == predicted[1:] else WRONG_BOTH


def _place(mistake: Mistake) -> tuple[int, bool]:
    starts = [span.start for span in (mistake.gold, mistake.predicted) if span is not None]
    return min(starts), mistake.gold is None


def type_confusion(predictions: Sequence[Prediction]) -> tuple[list[str], list[list[int]]]:
    """Labels (entity types, then `O`), and how often each (row: gold) was predicted as each (column).

    Correct spans and paired mistakes are counted regardless of boundaries: the diagonal holds the correct
    spans and those with only a wrong boundary. Missed spans are in column O, spurious ones in row O; O with
    O is 0. A type's row sums to its gold spans, its column to its predicted spans.
    """
    types = _types(predictions)
    nothing = ""  # not "O", which may be the name of a type
    counts: Counter[tuple[str, str]] = Counter()
    for sentence in predictions:
        counts.update((span.type, span.type) for span in sentence.correct)
    for _, _, gold, predicted in mistakes_of(predictions):
        counts[gold.type if gold else nothing, predicted.type if predicted else nothing] += 1
    return [*types, OUTSIDE], [[counts[row, column] for column in (*types, nothing)] for row in (*types, nothing)]


def _types(predictions: Iterable[Prediction]) -> list[str]:
    return sorted({span.type for sentence in predictions for span in (*sentence.gold, *sentence.predicted)})


def scores_by_type(predictions: Sequence[Prediction]) -> dict[str, dict[str, Any]]:
    """`span_scores` for each entity type, gold or predicted, by name."""
    return _scores_in(predictions, _types(predictions), lambda span: span.type)


def by_sentence_length(predictions: Iterable[Prediction]) -> dict[str, dict[str, Any]]:
    """`span_scores` for sentences of 1-5, 6-10, 11-20, 21-40 and 41+ tokens; all bins are present, in this order."""
    counts = _no_counts(SENTENCE_LENGTHS)
    for sentence in predictions:
        counted = counts[_bin(len(sentence.words), _SENTENCE_BINS)]
        for column in _COLUMNS:
            counted[column] += len(getattr(sentence, column))
    return _scores(counts)


def by_entity_length(predictions: Iterable[Prediction]) -> dict[str, dict[str, Any]]:
    """`span_scores` for entities of 1, 2, 3 and 4+ tokens; all bins are present, in this order.

    A gold span is counted by its own length, a predicted span by its own.
    """
    return _scores_in(predictions, ENTITY_LENGTHS, lambda span: _bin(span.end - span.start, _ENTITY_BINS))


def _bins(least: dict[str, int]) -> list[str]:
    """Names of the bins of lengths 0, 1, ...; the last also covers all greater lengths."""
    names = list(least)
    return [names[max(bisect_right(list(least.values()), length) - 1, 0)] for length in range(max(least.values()) + 1)]


def _bin(length: int, bins: list[str]) -> str:
    return bins[min(length, len(bins) - 1)]


_SENTENCE_BINS, _ENTITY_BINS = _bins(SENTENCE_LENGTHS), _bins(ENTITY_LENGTHS)
_COLUMNS = ("correct", "predicted", "gold")


def _scores_in(
    predictions: Iterable[Prediction], names: Iterable[str], name_of: Callable[[Span], str]
) -> dict[str, dict[str, Any]]:
    """Scores of the parts; `name_of` gives the part of a span."""
    counts = _no_counts(names)
    for sentence in predictions:
        if sentence.gold or sentence.predicted:
            for column in _COLUMNS:
                for span in getattr(sentence, column):
                    counts[name_of(span)][column] += 1
    return _scores(counts)


def _no_counts(names: Iterable[str]) -> dict[str, dict[str, int]]:
    return {name: dict.fromkeys(_COLUMNS, 0) for name in names}


def _scores(counts: dict[str, dict[str, int]]) -> dict[str, dict[str, Any]]:
    return {name: span_scores(**count) for name, count in counts.items()}


def sentence_counts(predictions: Iterable[Prediction]) -> np.ndarray:
    """Correct, predicted and gold spans of each sentence, (sentences, 3), integers."""
    rows = [(len(sentence.correct), len(sentence.predicted), len(sentence.gold)) for sentence in predictions]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
