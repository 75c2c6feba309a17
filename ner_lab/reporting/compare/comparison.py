"""Compares side A with side B: settings, scores, mistakes and sentences.

With several seeds the counts of all runs of a side are summed, and scores are computed from the sums.
Differences are always B - A.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ner_lab.evaluation.error_analysis import KINDS, Prediction, mistakes_of, scores_by_type, sentence_counts
from ner_lab.evaluation.precision_recall import span_scores
from ner_lab.reporting.compare.run_pairs import Pair
from ner_lab.reporting.significance import Randomisation, randomise

ALL, ABSENT = "all", "-"
BOTH, ONLY_A, ONLY_B, NEITHER = "both", "only A", "only B", "neither"
OUTCOMES = {(True, True): BOTH, (True, False): ONLY_A, (False, True): ONLY_B, (False, False): NEITHER}
_NO_ENTITIES = span_scores(0, 0, 0)


@dataclass(frozen=True)
class Example:
    """A sentence that one side gets right with more seeds than the other.

    number: of the sentence, from 1. right: the number of seeds with which A and B have exactly its entities.
    a, b: their predictions with `seed`, the first seed with which the better side is right and the other wrong.
    """

    number: int
    right: tuple[int, int]
    seed: int | None
    a: Prediction
    b: Prediction


@dataclass(frozen=True)
class Comparison:
    """The results of a comparison; pairs are (A, B).

    settings: config key -> its values, for keys that differ; `ABSENT` if the key is missing.
    scores: `span_scores` by entity type, then under "all".
    by_seed: F1 with each seed.
    test: of F1.
    mistakes: number of each kind.
    entities: gold entities by type, then under "all", by who finds them (`OUTCOMES`), summed over seeds.
    sentences: sentences by who gets them right, summed over seeds.
    better_a, better_b: sentences that A, or B, gets right with more seeds, the clearest first.
    """

    pair: Pair
    settings: Mapping[str, tuple[str, str]]
    scores: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]
    by_seed: Sequence[tuple[float, float]]
    test: Randomisation
    mistakes: Mapping[str, tuple[int, int]]
    entities: Mapping[str, Mapping[str, int]]
    sentences: Mapping[str, int]
    better_a: Sequence[Example]
    better_b: Sequence[Example]


def compare(pair: Pair, *, rounds: int) -> Comparison:
    """Compare the two sides with `rounds` of approximate randomisation."""
    counts_a, counts_b = ([sentence_counts(run) for run in side.predictions] for side in (pair.a, pair.b))
    right_a, right_b = (_right(side.predictions) for side in (pair.a, pair.b))  # (runs, sentences)
    more_a = right_a.sum(axis=0) - right_b.sum(axis=0)
    return Comparison(
        pair=pair,
        settings=_differing(pair.a.settings, pair.b.settings),
        scores=_scores(pair),
        by_seed=[(_f1(one), _f1(two)) for one, two in zip(counts_a, counts_b, strict=True)],
        test=randomise(counts_a, counts_b, rounds=rounds),
        mistakes=_mistakes(pair),
        entities=_entities(pair),
        sentences=_outcomes(zip(right_a.ravel().tolist(), right_b.ravel().tolist(), strict=True)),
        better_a=_examples(pair, more_a, right_a, right_b),
        better_b=_examples(pair, -more_a, right_a, right_b),
    )


def _right(runs: Sequence[Sequence[Prediction]]) -> np.ndarray:
    """Whether exactly the gold entities of each sentence are predicted, (runs, sentences)."""
    return np.array([[sentence.gold == sentence.predicted for sentence in run] for run in runs])


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Differing settings by group, the class of a part first."""
    found = [key for key in dict.fromkeys((*a, *b)) if key != "run_name" and a.get(key) != b.get(key)]
    groups = list(dict.fromkeys(key.partition(".")[0] for key in (*a, *b)))
    found.sort(key=lambda key: (groups.index(key.partition(".")[0]), "." in key))
    return {key: (a.get(key, ABSENT), b.get(key, ABSENT)) for key in found}


def _scores(pair: Pair) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    a, b = (scores_by_type(side.pooled) for side in (pair.a, pair.b))
    by_type = {name: (a.get(name, _NO_ENTITIES), b.get(name, _NO_ENTITIES)) for name in sorted({*a, *b})}
    return by_type | {ALL: (_summed(a), _summed(b))}


def _summed(by_type: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return span_scores(*(sum(row[column] for row in by_type.values()) for column in ("correct", "predicted", "gold")))


def _f1(counts: np.ndarray) -> float:
    return span_scores(*counts.sum(axis=0).tolist())["f1"]


def _mistakes(pair: Pair) -> dict[str, tuple[int, int]]:
    a, b = (Counter(mistake.kind for mistake in mistakes_of(side.pooled)) for side in (pair.a, pair.b))
    return {kind: (a[kind], b[kind]) for kind in KINDS}


def _entities(pair: Pair) -> dict[str, dict[str, int]]:
    found: dict[str, list[tuple[bool, bool]]] = {}
    for one, two in zip(pair.a.pooled, pair.b.pooled, strict=True):
        for span in one.gold:
            found.setdefault(span.type, []).append((span in one.predicted, span in two.predicted))
    by_type = {name: _outcomes(found[name]) for name in sorted(found)}
    return by_type | {ALL: _outcomes(outcome for rows in found.values() for outcome in rows)}


def _outcomes(found: Iterable[tuple[bool, bool]]) -> dict[str, int]:
    counts = Counter(found)
    return {name: counts[outcome] for outcome, name in OUTCOMES.items()}


def _examples(pair: Pair, more: np.ndarray, right_a: np.ndarray, right_b: np.ndarray) -> list[Example]:
    """Sentences with `more` > 0, the highest first; more (sentences,), right (runs, sentences)."""
    examples = []
    for place in np.argsort(-more, kind="stable")[: int((more > 0).sum())].tolist():
        one, two = right_a[:, place], right_b[:, place]
        run = int(np.argmax(one & ~two if one.sum() > two.sum() else two & ~one))
        predictions = (side.predictions[run][place] for side in (pair.a, pair.b))
        examples.append(Example(place + 1, (int(one.sum()), int(two.sum())), pair.seeds[run], *predictions))
    return examples
