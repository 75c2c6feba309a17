"""Statistics over seeds against enumeration, scipy and hand-made cases."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ner_lab.reporting.significance import (
    bootstrap_interval,
    difference_interval,
    factorial,
    holm,
    paired_test,
    seeds_needed,
    smallest_p,
)

SCORES = st.lists(st.floats(0, 100, allow_nan=False), min_size=2, max_size=7)


# intervals


def test_the_interval_of_few_values_is_that_of_all_samples() -> None:
    values = [90.0, 91.0, 93.5, 90.2]
    means = [np.mean(sample) for sample in product(values, repeat=4)]
    assert bootstrap_interval(values) == pytest.approx((sorted(means)[6], sorted(means)[249]))


def test_the_interval_of_three_values_is_their_range() -> None:
    assert bootstrap_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)


def test_one_value_has_no_interval_and_equal_ones_a_point() -> None:
    assert bootstrap_interval([90.0]) is None
    assert bootstrap_interval([90.0, 90.0, 90.0]) == (90.0, 90.0)
    assert difference_interval([90.0], [80.0, 81.0]) is None


@settings(max_examples=25, deadline=None)
@given(values=SCORES, shift=st.floats(-50, 50))
def test_an_interval_holds_the_mean_and_moves_with_its_values(values: list[float], shift: float) -> None:
    low, high = bootstrap_interval(values) or (0.0, 0.0)
    assert min(values) - 1e-9 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= max(values) + 1e-9
    assert bootstrap_interval([value + shift for value in values]) == pytest.approx((low + shift, high + shift))


def test_many_values_give_about_the_interval_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(90, 2, 200)
    low, high = bootstrap_interval(values.tolist()) or (0.0, 0.0)
    half = 1.96 * values.std(ddof=1) / 200**0.5
    assert (low, high) == (
        pytest.approx(values.mean() - half, abs=0.03),
        pytest.approx(values.mean() + half, abs=0.03),
    )


@pytest.mark.parametrize(("seeds", "covered"), [(3, 0.74), (5, 0.82), (10, 0.91)])
def test_the_interval_is_as_much_too_narrow_as_reports_say(seeds: int, covered: float) -> None:
    draws = np.random.default_rng(seeds).normal(size=(800, seeds))
    found = [bootstrap_interval(values.tolist()) or (1.0, 0.0) for values in draws]
    assert np.mean([low <= 0 <= high for low, high in found]) == pytest.approx(covered, abs=0.04)


@settings(max_examples=20, deadline=None)
@given(a=SCORES, b=SCORES)
def test_the_interval_of_a_difference_turns_with_its_sides(a: list[float], b: list[float]) -> None:
    low, high = difference_interval(a, b) or (0.0, 0.0)
    assert low <= np.mean(a) - np.mean(b) + 1e-9
    assert high >= np.mean(a) - np.mean(b) - 1e-9
    if len(a) <= 4 and len(b) <= 4:  # all pairs of samples are looked at
        assert difference_interval(b, a) == pytest.approx((-high, -low))


# tests


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=8))
def test_the_paired_test_counts_every_assignment_of_signs(pairs: list[tuple[int, int]]) -> None:
    a, b = zip(*pairs, strict=True)
    differences = [one - two for one, two in pairs]
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in product([-1, 1], repeat=len(pairs))
    ]
    assert paired_test(a, b) == sum(total >= abs(sum(differences)) for total in sums) / len(sums)


@pytest.mark.parametrize("number", [4, 9])
def test_the_paired_test_agrees_with_scipy(number: int) -> None:
    generator = np.random.default_rng(number)
    a, b = generator.normal(1, 2, number), generator.normal(0, 2, number)
    found = stats.permutation_test(
        (a, b),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10**6,
    )
    assert paired_test(a, b) == pytest.approx(found.pvalue)


def test_many_pairs_are_tested_by_drawn_signs() -> None:
    generator = np.random.default_rng(3)
    a = generator.normal(0, 1, 40)
    b = a + generator.normal(0.2, 1, 40)
    assert paired_test(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.02)
    assert paired_test(a, a + 1) == smallest_p(40) == 2 / 10_001


def test_few_seeds_cannot_prove_anything() -> None:
    for pairs in (2, 3, 5, 8):
        assert paired_test(range(pairs), [value + 10 for value in range(pairs)]) == smallest_p(pairs)
    assert smallest_p(5) == 0.0625
    assert seeds_needed() == 6
    assert seeds_needed(comparisons=5) == 8
    for comparisons in (1, 2, 5, 11):
        needed = seeds_needed(comparisons)
        assert comparisons * smallest_p(needed) <= 0.05 < comparisons * smallest_p(needed - 1)


def test_holms_correction_of_a_hand_made_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7]) == [0.7]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(ps=st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_rejects_what_its_step_down_rule_rejects(ps: list[float]) -> None:
    adjusted = holm(ps)
    for level in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
            if ps[place] * (len(ps) - rank) > level:
                break
            rejected.add(place)
        assert {place for place, p in enumerate(adjusted) if p <= level} == rejected


# factors


def grid(values: dict[str, list[float]]) -> dict[tuple[str, ...], dict[int, float]]:
    """`"a x"` -> values of seeds 1, 2, ..."""
    return {tuple(name.split()): dict(enumerate(row, 1)) for name, row in values.items()}


ADDITIVE = grid({"a x": [10, 12], "a y": [14, 16], "b x": [20, 22], "b y": [24, 26]})


def test_effects_of_an_additive_grid() -> None:
    one, other, both = factorial(ADDITIVE, ("first", "second"))
    assert (one.factors, other.factors, both.factors) == (("first",), ("second",), ("first", "second"))
    assert one.effects == {("a",): -5, ("b",): 5}
    assert other.effects == {("x",): -2, ("y",): 2}
    assert set(both.effects.values()) == {0}
    assert one.intervals == {("a",): (-5, -5), ("b",): (5, 5)}


def test_an_interaction_is_what_the_sum_of_effects_leaves() -> None:
    both = factorial(grid({"a x": [1], "a y": [3], "b x": [5], "b y": [11]}), ("one", "two"))[2]
    assert both.effects == {("a", "x"): 1, ("a", "y"): -1, ("b", "x"): -1, ("b", "y"): 1}
    assert (both.intervals, both.share, both.p) == ({}, None, None)


def test_shares_and_p_of_a_hand_made_analysis_of_variance() -> None:
    """Two factors of two levels, three seeds as blocks: sums of squares by the textbook's contrasts."""
    runs = {"a x": [10.0, 11.0, 13.0], "a y": [12.0, 15.0, 14.0], "b x": [11.0, 12.0, 16.0], "b y": [19.0, 17.0, 20.0]}
    table = np.array(list(runs.values()))
    total = ((table - table.mean()) ** 2).sum()
    contrasts = {"one": [-1, -1, 1, 1], "two": [-1, 1, -1, 1], "both": [1, -1, -1, 1]}
    squares = {name: (np.array(signs) @ table.sum(axis=1)) ** 2 / 12 for name, signs in contrasts.items()}
    blocks = 4 * ((table.mean(axis=0) - table.mean()) ** 2).sum()
    error = total - sum(squares.values()) - blocks
    for term, name in zip(factorial(grid(runs), ("one", "two")), contrasts, strict=True):
        assert term.share == pytest.approx(squares[name] / total)
        assert term.p == pytest.approx(stats.f.sf(squares[name] / (error / 6), 1, 6))


def test_the_analysis_of_one_factor_agrees_with_a_paired_t_test() -> None:
    a, b = [90.1, 91.0, 90.4, 90.9], [91.2, 91.5, 91.9, 91.0]
    (term,) = factorial(grid({"a": a, "b": b}), ("one",))
    assert term.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_three_factors_and_effects_that_sum_to_nothing() -> None:
    generator = np.random.default_rng(5)
    cells = {place: {seed: float(generator.normal()) for seed in range(4)} for place in product("ab", "xyz", "pq")}
    terms = factorial(cells, ("f", "g", "h"))
    assert [term.factors for term in terms] == [("f",), ("g",), ("h",), ("f", "g"), ("f", "h"), ("g", "h")]
    grand = np.mean([list(row.values()) for row in cells.values()])
    for term in terms:
        assert sum(term.effects.values()) == pytest.approx(0, abs=1e-9)
    mean_y = np.mean([value for place, row in cells.items() if place[1] == "y" for value in row.values()])
    assert terms[1].effects[("y",)] == pytest.approx(mean_y - grand)
    for term in terms:
        for name, (low, high) in term.intervals.items():
            assert low <= term.effects[name] <= high
    assert sum(term.share or 0 for term in terms) < 1


def test_cells_without_shared_seeds_have_effects_and_no_test() -> None:
    cells = {**ADDITIVE, ("b", "y"): {1: 24.0, 7: 26.0}}
    one, *_ = factorial(cells, ("first", "second"))
    assert one.effects == {("a",): -5, ("b",): 5}
    assert (one.intervals, one.share, one.p) == ({}, None, None)


def test_a_grid_with_a_hole_has_no_effects() -> None:
    holed = {place: row for place, row in ADDITIVE.items() if place != ("b", "y")}
    assert factorial(holed, ("first", "second")) == []
    assert factorial({**ADDITIVE, ("b", "y"): {}}, ("first", "second")) == []
    assert factorial({}, ("first",)) == []


def test_p_of_a_factor_without_effect_is_seldom_small() -> None:
    generator = np.random.default_rng(9)
    found = []
    for _ in range(300):
        blocks = generator.normal(size=4)
        cells = {place: {s: float(generator.normal() + blocks[s]) for s in range(4)} for place in product("ab", "xy")}
        found.append(factorial(cells, ("f", "g"))[0].p or 0.0)
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09
