"""Statistics over seeds and over sentences.

Over seeds: intervals, paired tests, corrections, and factorial effects in a full grid. Values are those of finished
runs. Failed runs have no value: they are counted separately, never averaged.

Over sentences: the paired approximate randomisation test of a difference in F1 (Noreen 1989; Yeh 2000). Under the null
hypothesis the two taggers are exchangeable, so their answers are swapped at random, sentence by sentence, and p is the
share of shuffles whose difference in micro F1 is at least the observed one. The sampling unit is the sentence: with
several seeds, a sentence's answers are swapped in all pairs of runs at once, because they share its difficulty.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import numpy as np
from scipy import stats

from ner_lab.errors import UserError

_ALL_SAMPLES = 5  # maximum number of values for which all bootstrap samples are enumerated
_ALL_SIGNS = 16  # maximum number of pairs for which all sign assignments are enumerated
_DRAWS = 10_000
_LEVELS = (0.025, 0.975)
_CHUNK = 4_000_000  # random numbers drawn at once
_RESAMPLES = 2_000  # bootstrap samples of sentences

Interval = tuple[float, float]


def bootstrap_interval(values: Sequence[float]) -> Interval | None:
    """95 % percentile bootstrap interval of the mean; None for fewer than two values.

    Up to five values all samples are enumerated; beyond that, 10,000 are drawn, the same each time. With few
    values the interval is too narrow rather than too wide: for three values it is their range.
    """
    if len(values) < 2:
        return None
    means = np.asarray(values, dtype=float)[_samples(len(values))].mean(axis=1)
    return _ends(means)


def difference_interval(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """95 % percentile bootstrap interval of mean(a) - mean(b), drawn independently; None if one is a single value."""
    if len(a) < 2 or len(b) < 2:
        return None
    means = [np.asarray(side, dtype=float)[_samples(len(side))].mean(axis=1) for side in (a, b)]
    if len(means[0]) * len(means[1]) <= 10 * _DRAWS:
        return _ends(np.subtract.outer(*means).ravel())
    generator = np.random.default_rng(0)
    drawn = [generator.choice(side, _DRAWS) for side in means]
    return _ends(drawn[0] - drawn[1])


def paired_test(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of the mean of the paired differences a - b, by flipping signs (Fisher's randomisation test).

    Twice the smaller one-sided p. Exact up to 16 pairs; beyond that, over 10,000 drawn assignments, where a one-sided
    p is (as extreme + 1) / (drawn + 1).
    """
    number = len(a)
    if number == 0:
        raise ValueError("a paired test needs a pair")
    if number == 1:
        return 1.0
    result = stats.permutation_test(
        (np.asarray(a, dtype=float), np.asarray(b, dtype=float)),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf if number <= _ALL_SIGNS else _DRAWS,
        vectorized=True,
        rng=0,
    )
    return float(result.pvalue)


def smallest_p(pairs: int) -> float:
    """The smallest p of a paired test over this many seeds: all signs equal, two-sided."""
    return max(2.0 ** (1 - pairs), 0.0 if pairs <= _ALL_SIGNS else 2 / (_DRAWS + 1))


def seeds_needed(comparisons: int = 1, level: float = 0.05) -> int:
    """The number of shared seeds from which a paired test can reach `level` at all, after Holm's correction."""
    return math.ceil(1 + math.log2(max(1, comparisons) / level) - 1e-12)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for multiple tests (Holm 1979): k-th smallest times (n - k + 1), monotone, at most 1."""
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


@dataclass(frozen=True)
class Term:
    """A factor of a full grid, or a pair of factors, and its effect on the mean of all cells.

    effects: levels of the factors -> their effect, beyond the effect of each level alone; intervals:
    the same with 95 % bootstrap intervals over seeds, empty if cells do not share their seeds.
    share: the explained share of the variation between runs (eta squared); p: of an F test with seeds as
    blocks. Both None if cells do not share two seeds or more.
    """

    factors: tuple[str, ...]
    effects: Mapping[tuple[str, ...], float]
    intervals: Mapping[tuple[str, ...], Interval]
    share: float | None
    p: float | None


def factorial(cells: Mapping[tuple[str, ...], Mapping[int, float]], factors: Sequence[str]) -> list[Term]:
    """Main effects of the factors, then interactions of each pair; empty if it is not a full grid.

    cells: level of each factor -> seed -> value. Each cell counts once, by its mean.
    """
    levels = [list(dict.fromkeys(cell[axis] for cell in cells)) for axis in range(len(factors))]
    if not cells or any(not cells.get(cell) for cell in product(*levels)) or math.prod(map(len, levels)) != len(cells):
        return []
    grid_cells = list(product(*levels))
    shape = tuple(map(len, levels))
    seeds = sorted(set.intersection(*(set(cells[cell]) for cell in grid_cells)))
    balanced = len(seeds) > 1 and all(len(cells[cell]) == len(seeds) for cell in grid_cells)
    means = np.array([np.mean(list(cells[cell].values())) for cell in grid_cells]).reshape(shape)
    runs = np.array([[cells[cell][seed] for seed in seeds] for cell in grid_cells]).reshape(*shape, len(seeds))
    terms = []
    for size in (1, 2):
        for axes in combinations(range(len(factors)), size):
            effect = _effect(means, axes)
            names = list(product(*(levels[axis] for axis in axes)))
            intervals, share, p = _evidence(runs, axes, names) if balanced else ({}, None, None)
            values = dict(zip(names, map(float, effect.ravel()), strict=True))
            terms.append(Term(tuple(factors[axis] for axis in axes), values, intervals, share, p))
    return terms


def _effect(means: np.ndarray, axes: tuple[int, ...], trailing: int = 0) -> np.ndarray:
    """Effects of the levels of some factors minus those of their subsets; the last `trailing` axes are kept."""
    grid = means.ndim - trailing
    effect = means.mean(axis=tuple(axis for axis in range(grid) if axis not in axes), keepdims=True)
    for size in range(len(axes)):
        for fewer in combinations(axes, size):
            effect = effect - _effect(means, fewer, trailing)
    return effect


def _evidence(
    runs: np.ndarray, axes: tuple[int, ...], names: Sequence[tuple[str, ...]]
) -> tuple[dict[tuple[str, ...], Interval], float | None, float | None]:
    """Intervals, share of variation and p of a term; runs (levels of each factor, ..., seeds)."""
    grid, seeds = runs.ndim - 1, runs.shape[-1]
    samples = runs[..., _samples(seeds)].mean(axis=-1)  # (levels, ..., samples)
    drawn = _effect(samples, axes, trailing=1).reshape(len(names), -1)
    intervals = {name: _ends(values) for name, values in zip(names, drawn, strict=True)}
    squares = float((_effect(runs.mean(axis=-1), axes) ** 2).sum()) * runs.size / len(names)
    total = float(((runs - runs.mean()) ** 2).sum())
    cell_means, block_means = runs.mean(axis=-1, keepdims=True), runs.mean(axis=tuple(range(grid)), keepdims=True)
    error = float(((runs - cell_means - block_means + runs.mean()) ** 2).sum())
    freedom = math.prod(runs.shape[axis] - 1 for axis in axes)
    rest = (runs[..., 0].size - 1) * (seeds - 1)
    if total <= 0 or error <= 1e-12 * total or freedom == 0:
        return intervals, None if total <= 0 else squares / total, None
    p = float(stats.f.sf((squares / freedom) / (error / rest), freedom, rest))
    return intervals, squares / total, p


@cache
def _samples(number: int) -> np.ndarray:
    """Indices of values in samples with replacement, (samples, number)."""
    if number <= _ALL_SAMPLES:
        return np.array(list(product(range(number), repeat=number)))
    return np.random.default_rng(0).integers(0, number, size=(_DRAWS, number))


def _ends(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, _LEVELS, method="averaged_inverted_cdf")  # symmetric: the same from either side
    return float(low), float(high)


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
        raise UserError(
            f"runs can only be compared pair by pair on the same sentences; the shapes of their counts are {shapes}."
        )
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
