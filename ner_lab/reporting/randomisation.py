"""Paired approximate randomisation test of a difference in F1 over sentences (Noreen 1989; Yeh 2000).

Under the null hypothesis the two taggers are exchangeable. So their answers are swapped at random,
sentence by sentence, and p is the share of shuffles whose difference in micro F1 is at least the
observed one. The sampling unit is the sentence: with several seeds, a sentence's answers are swapped
in all pairs of runs at once, because they share the difficulty of the sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ner_lab.errors import UserError

_CHUNK = 4_000_000  # random numbers drawn at once
_RESAMPLES = 2_000  # bootstrap samples of sentences


@dataclass(frozen=True)
class Randomisation:
    """difference: mean F1 of B - mean F1 of A, in percentage points; low, high: its 95 % bootstrap interval
    over sentences; p: two-sided, (shuffles as extreme + 1) / (rounds + 1), so never below 1 / (rounds + 1).
    """

    difference: float
    p: float
    low: float
    high: float
    rounds: int


def randomise(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], *, rounds: int = 10_000, seed: int = 0
) -> Randomisation:
    """Test whether B's mean F1 differs from A's.

    a, b: for each pair of runs, counts (sentences, 3) of correct, predicted and gold spans, as returned by
    `ner_lab.evaluation.error_analysis.sentence_counts`; all for the same sentences, else UserError.
    """
    if rounds < 1:
        raise UserError(f"rounds={rounds}: approximate randomisation takes one round or more, such as 10000.")
    if not a or len(a) != len(b) or len({np.shape(counts) for counts in [*a, *b]}) != 1:
        shapes = ", ".join(str(np.shape(counts)) for counts in [*a, *b])
        raise UserError(f"runs can be compared on the same sentences alone, pair by pair; their counts are {shapes}.")
    one, two = np.stack(a).astype(np.int64), np.stack(b).astype(np.int64)  # (runs, sentences, 3)
    generator = np.random.default_rng(seed)
    seen = _f1(two.sum(axis=1)).mean() - _f1(one.sum(axis=1)).mean()
    extreme = _extreme(one, two, abs(float(seen)), rounds, generator)
    low, high = _interval(one, two, generator)
    return Randomisation(float(seen), (extreme + 1) / (rounds + 1), low, high, rounds)


def _extreme(one: np.ndarray, two: np.ndarray, seen: float, rounds: int, generator: np.random.Generator) -> int:
    """Number of shuffles whose difference is at least `seen`. Sentences with identical counts need no swapping."""
    change = two - one
    moved = np.flatnonzero(change.any(axis=(0, 2)))
    runs = len(one)
    table = change[:, moved].transpose(1, 0, 2).reshape(len(moved), runs * 3).astype(np.float32)
    total_one, total_two = one.sum(axis=1), two.sum(axis=1)  # (runs, 3)
    extreme = 0
    for size in _chunks(rounds, len(moved)):
        swap = generator.integers(0, 2, size=(size, len(moved)), dtype=np.int8).astype(np.float32)
        shift = (swap @ table).reshape(size, runs, 3)  # integers far below 2^24: exact in float32
        difference = (_f1(total_two - shift) - _f1(total_one + shift)).mean(axis=1)
        extreme += int((np.abs(difference) >= seen - 1e-9).sum())
    return extreme


def _interval(one: np.ndarray, two: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """Limits of the central 95 % of the difference over bootstrap samples of sentences."""
    runs, sentences, _ = one.shape
    table = np.concatenate([one, two]).transpose(1, 0, 2).reshape(sentences, 2 * runs * 3).astype(np.float32)
    found = []
    for size in _chunks(_RESAMPLES, sentences):
        drawn = (
            generator.integers(0, sentences, size=(size, sentences), dtype=np.int32)
            + np.arange(size)[:, None] * sentences
        )
        times = np.bincount(drawn.ravel(), minlength=size * sentences).reshape(size, sentences)
        f1 = _f1((times.astype(np.float32) @ table).reshape(size, 2, runs, 3))  # (size, 2, runs)
        found.append((f1[:, 1] - f1[:, 0]).mean(axis=1))
    low, high = np.quantile(np.concatenate(found), [0.025, 0.975])
    return float(low), float(high)


def _chunks(rounds: int, width: int) -> list[int]:
    """Split the rounds into chunks of bounded memory."""
    most = max(1, _CHUNK // max(1, width))
    return [min(most, rounds - done) for done in range(0, rounds, most)]


def _f1(counts: np.ndarray) -> np.ndarray:
    """counts (..., 3) of correct, predicted, gold -> micro F1 (...) in per cent; 0 without any span."""
    spans = counts[..., 1] + counts[..., 2]
    return 200.0 * counts[..., 0] / np.where(spans == 0, 1, spans)
