"""Approximate randomisation against every possible shuffle, and by what must not change it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.errors import UserError
from ner_lab.reporting.significance import randomise


def f1(counts: np.ndarray) -> float:
    correct, predicted, gold = counts.sum(axis=0).tolist()
    return 200 * correct / (predicted + gold) if predicted + gold else 0.0


def made(
    seed: int, runs: int, sentences: int, skills: tuple[float, float] = (0.6, 0.75)
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two taggers' counts on sentences with one to three gold spans; B is a little better, unless said otherwise."""
    generator = np.random.default_rng(seed)
    gold = generator.integers(1, 4, sentences)

    def tagger(skill: float) -> np.ndarray:
        correct = generator.binomial(gold, skill)
        return np.stack([correct, correct + generator.binomial(2, 0.2, sentences), gold], axis=1)

    return [tagger(skills[0]) for _ in range(runs)], [tagger(skills[1]) for _ in range(runs)]


def exact_p(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """The share of all swaps whose difference is as extreme."""
    seen = abs(np.mean([f1(two) for two in b]) - np.mean([f1(one) for one in a]))
    extreme = 0
    for swaps in product([False, True], repeat=len(a[0])):
        swap = np.array(swaps)[:, None]
        after = [(np.where(swap, two, one), np.where(swap, one, two)) for one, two in zip(a, b, strict=True)]
        difference = np.mean([f1(two) for _, two in after]) - np.mean([f1(one) for one, _ in after])
        extreme += abs(difference) >= seen - 1e-9
    return extreme / 2 ** len(a[0])


@pytest.mark.parametrize(("seed", "runs"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_p_is_the_share_of_all_shuffles_as_extreme(seed: int, runs: int) -> None:
    a, b = made(seed, runs, 9)
    exact, rounds = exact_p(a, b), 40_000
    error = (exact * (1 - exact) / rounds) ** 0.5
    assert randomise(a, b, rounds=rounds).p == pytest.approx(exact, abs=5 * error + 2 / rounds)


def test_the_difference_is_that_of_mean_f1() -> None:
    a, b = made(5, 3, 40)
    expected = np.mean([f1(two) for two in b]) - np.mean([f1(one) for one in a])
    assert randomise(a, b, rounds=10).difference == pytest.approx(expected)


def test_taggers_that_answer_alike_do_not_differ() -> None:
    a, _ = made(6, 2, 30)
    same = randomise(a, [counts.copy() for counts in a], rounds=100)
    assert (same.difference, same.p, same.low, same.high) == (0, 1, 0, 0)


def test_a_plain_difference_has_the_least_p_there_is() -> None:
    gold = np.full(200, 2)
    good, bad = np.stack([gold, gold, gold], axis=1), np.stack([gold * 0, gold, gold], axis=1)
    found = randomise([bad], [good], rounds=999)
    assert found.p == 1 / 1000
    assert (found.difference, found.low, found.high) == (100, 100, 100)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_changing_sides_changes_the_sign_alone(seed: int) -> None:
    a, b = made(seed, 2, 25)
    there, back = randomise(a, b, rounds=500, seed=seed), randomise(b, a, rounds=500, seed=seed)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p == back.p
    assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


def test_the_same_call_gives_the_same_answer() -> None:
    a, b = made(7, 2, 60)
    assert randomise(a, b, rounds=300) == randomise(a, b, rounds=300)


def test_p_is_not_too_small_where_nothing_is_to_be_found() -> None:
    found = []
    for seed in range(200):
        a, b = made(seed, 1, 40, skills=(0.7, 0.7))
        found.append(randomise(a, b, rounds=199).p)
    assert np.mean(np.array(found) <= 0.05) < 0.1
    assert 0.35 < np.median(found) < 0.65


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    a, b = made(8, 1, 40_000)
    truth = f1(b[0]) - f1(a[0])
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        drawn = generator.integers(0, 40_000, 150)
        found = randomise([a[0][drawn]], [b[0][drawn]], rounds=1)
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 99


def test_sentences_without_any_span_are_no_division_by_zero() -> None:
    nothing = np.zeros((5, 3), dtype=int)
    assert randomise([nothing], [nothing], rounds=10).difference == 0


@pytest.mark.parametrize("sizes", [((5,), (6,)), ((5,), (5, 5)), ((), ())])
def test_runs_on_other_sentences_or_without_a_partner_are_refused(sizes: tuple[tuple[int, ...], ...]) -> None:
    a, b = ([np.ones((size, 3), dtype=int) for size in side] for side in sizes)
    with pytest.raises(UserError, match="same sentences"):
        randomise(a, b)


def test_no_rounds_are_refused() -> None:
    with pytest.raises(UserError, match="rounds=0"):
        randomise(*made(1, 1, 5), rounds=0)
