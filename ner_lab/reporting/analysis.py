"""Analysis of a study: the figures of each configuration over its seeds, and differences from the baseline."""

import math
import os
import statistics as plain
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ner_lab.config.naming import parse_configuration
from ner_lab.errors import UserError, nearest
from ner_lab.reporting.aggregates import Row, Summary, at, number_at
from ner_lab.reporting.consistency import differences
from ner_lab.reporting.significance import (
    Interval,
    difference_interval,
    factorial,
    holm,
    paired_test,
    randomise,
    smallest_p,
)
from ner_lab.reporting.study_runs import Run, StudyRuns
from ner_lab.runs.records import BROKEN, SPLITS

__all__ = ["Comparison", "Effect", "Findings", "Interaction", "PValue", "Row", "Summary", "find"]

ROUNDS = 10_000
_DATA_LINES = 8
_NAMED = 3  # maximum number of names in a note


@dataclass(frozen=True)
class PValue:
    """A test's p; the same after Holm's correction over all comparisons; the smallest p possible with n.

    n: pairs of seeds.
    """

    p: float
    adjusted: float
    smallest: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """A configuration compared with the baseline, in F1 on the report's split.

    difference: mean of the configuration - mean of the baseline; low, high: its 95 % bootstrap interval.
    seeds: those of both.
    over_seeds, over_sentences: None if there is nothing to test; `reasons` then has the explanation.
    """

    row: Row
    baseline: Row
    difference: float
    low: float | None
    high: float | None
    seeds: tuple[int, ...]
    over_seeds: PValue | None
    over_sentences: PValue | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """The main effect of a factor in a full grid, every configuration counting once.

    levels: value -> mean F1 over all levels of the other factors.
    adds: value -> its mean - the overall mean; intervals: the same, 95 % over seeds, empty without shared seeds.
    share, p: of the variation between runs, and of an F test; see `ner_lab.reporting.significance.Term`.
    """

    factor: str
    label: str
    levels: Mapping[str, float]
    adds: Mapping[str, float]
    intervals: Mapping[str, Interval]
    share: float | None
    p: float | None

    @property
    def spread(self) -> float:
        """Best level - worst level."""
        return max(self.levels.values()) - min(self.levels.values())


@dataclass(frozen=True)
class Interaction:
    """The interaction of two factors: the deviation of their joint effect from the sum of both effects.

    factors, labels: of both. adds: their values -> mean F1 - F1 predicted from both effects; intervals, share,
    p: as for an effect.
    """

    factors: tuple[str, str]
    labels: tuple[str, str]
    adds: Mapping[tuple[str, str], float]
    intervals: Mapping[tuple[str, str], Interval]
    share: float | None
    p: float | None


@dataclass(frozen=True)
class Findings:
    """The findings of a report, for tables and plots.

    split: the split of tests, effects and plots, "test" or "dev".
    rows: one per configuration, in the study's order.
    baseline: None if fewer than two configurations have scores.
    effects, interactions: of the factors; empty unless the study is a full grid of two or more.
    notes: what a reader must know first: mixed code, broken runs, what is left out.
    rounds: of approximate randomisation.
    """

    study: StudyRuns
    split: str
    rows: Sequence[Row]
    baseline: Row | None
    comparisons: Sequence[Comparison]
    effects: Sequence[Effect]
    interactions: Sequence[Interaction]
    notes: Sequence[str]
    rounds: int

    @property
    def chosen(self) -> Row | None:
        """The best configuration on dev."""
        return next((row for row in self.rows if row.best_on_dev), None)

    @property
    def others(self) -> list[str]:
        """The splits other than `split` that any run has."""
        return [name for name in SPLITS if name != self.split and any(name in row.f1 for row in self.rows)]


def find(study: StudyRuns, *, split: str | None = None, baseline: str | None = None, rounds: int = ROUNDS) -> Findings:
    """Compute a report's findings.

    split: "test" or "dev"; None: test, or dev if no run has test.
    baseline: name, label or choices of a configuration; None: the study's, else the first with scores.
    rounds: of approximate randomisation, for each comparison.
    """
    rows = _mark_best_on_dev(
        [Row(configuration, study.published.get(configuration.name, ())) for configuration in study.configurations]
    )
    notes: list[str] = []
    split = _choose_split(rows, split, notes)
    base = _baseline(study, rows, split, baseline, notes)
    comparisons = _comparisons(rows, base, split, rounds) if base is not None else []
    effects, interactions = _factorial(study, rows, split, notes)
    notes += [*study.notes, *differences(study), *_cautions(study, rows, split), *_about_the_data(study)]
    return Findings(study, split, rows, base, comparisons, effects, interactions, notes, rounds)


def _mark_best_on_dev(rows: Sequence[Row]) -> list[Row]:
    choosable = [row for row in rows if "dev" in row.f1 and not row.trained_on_dev]
    best = max(choosable, key=lambda row: row.f1["dev"].mean) if len(choosable) > 1 else None
    return [replace(row, best_on_dev=row is best) for row in rows]


def _choose_split(rows: Sequence[Row], asked: str | None, notes: list[str]) -> str:
    there = [split for split in SPLITS if any(split in row.f1 for row in rows)]
    if asked is not None and asked not in SPLITS:
        raise UserError(f"split={asked}{nearest(asked, SPLITS)} A report is about test or dev.")
    if asked is not None and asked not in there and there:
        raise UserError(f"split={asked}: no run has scores of it. There are scores of {' and '.join(there)}.")
    if asked is None and there == ["dev"]:
        notes.append("No run has scores of test, so the report is about dev, on which epochs were chosen.")
    return asked or ("dev" if there == ["dev"] else "test")


def _baseline(study: StudyRuns, rows: Sequence[Row], split: str, asked: str | None, notes: list[str]) -> Row | None:
    scored = [row for row in rows if split in row.f1]
    if asked is not None:
        choices = parse_configuration(asked)
        found = [row for row in rows if asked in (row.name, row.label) or choices == row.configuration.choices != {}]
        if not found:
            known = [row.label for row in rows]
            raise UserError(
                f"baseline={asked}: no such configuration{nearest(asked, known)} There are: {'; '.join(known)}."
            )
        if found[0] not in scored:
            raise UserError(f"baseline={asked}: it has no finished run with scores of {split}.")
        return found[0] if len(scored) > 1 else None
    if len(scored) < 2:
        return None
    if study.baseline is None:
        return scored[0]
    matching = [row for row in rows if study.baseline in (row.name, row.label)]
    if matching and matching[0] in scored:
        return matching[0]
    why = "has no finished run yet" if matching else "is none of its configurations"
    notes.append(f"The study's baseline, `{study.baseline}`, {why}; `{scored[0].label}` is used instead.")
    return scored[0]


def _comparisons(rows: Sequence[Row], base: Row, split: str, rounds: int) -> list[Comparison]:
    found = [_compare(row, base, split, rounds) for row in rows if row is not base and split in row.f1]
    for name in ("over_seeds", "over_sentences"):
        tested = [index for index, comparison in enumerate(found) if getattr(comparison, name) is not None]
        adjusted = holm([getattr(found[index], name).p for index in tested])
        for index, p in zip(tested, adjusted, strict=True):
            found[index] = replace(found[index], **{name: replace(getattr(found[index], name), adjusted=float(p))})
    return found


def _compare(row: Row, base: Row, split: str, rounds: int) -> Comparison:
    mine, its = _by_seed(row, split), _by_seed(base, split)
    seeds = tuple(sorted(mine.keys() & its.keys()))
    pairs = [(mine[seed], its[seed]) for seed in seeds]
    low, high = difference_interval(row.f1[split].values, base.f1[split].values) or (None, None)
    over_seeds = over_sentences = None
    reasons = []
    if len(pairs) > 1:
        scores = [[run.metrics[split]["f1"] for run in side] for side in _sides(pairs)]
        p, least = paired_test(*scores), smallest_p(len(pairs))
        over_seeds = PValue(p, p, least, len(pairs))
    else:
        reasons.append("No test over seeds, which takes two or more that both have")
    ours, theirs = ([found for run in side if (found := _counts(run, split)) is not None] for side in _sides(pairs))
    if fault := _unpaired(ours, theirs, len(pairs)):
        reasons.append(f"No test over sentences, for {fault}")
    else:
        p = randomise(theirs, ours, rounds=rounds).p
        over_sentences = PValue(p, p, 1 / (rounds + 1), len(pairs))
    difference = row.f1[split].mean - base.f1[split].mean
    return Comparison(row, base, difference, low, high, seeds, over_seeds, over_sentences, tuple(reasons))


def _sides(pairs: Sequence[tuple[Run, Run]]) -> tuple[list[Run], list[Run]]:
    return [one for one, _ in pairs], [other for _, other in pairs]


def _unpaired(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], pairs: int) -> str:
    """Why a test over sentences is not possible; "" if it is."""
    if not pairs:
        return "there is no seed that both have"
    if len(ours) < pairs or len(theirs) < pairs:
        return "predictions of some of the runs are missing"
    gold = [counts[:, 2] for counts in (*ours, *theirs)]
    return "" if all(np.array_equal(one, gold[0]) for one in gold) else "the runs predicted different sentences"


def _factorial(
    study: StudyRuns, rows: Sequence[Row], split: str, notes: list[str]
) -> tuple[list[Effect], list[Interaction]]:
    """Main effects and interactions of a full grid; otherwise empty."""
    choices = [row.configuration.choices for row in rows]
    levels = {factor: list(dict.fromkeys(choice.get(factor, "") for choice in choices)) for factor in study.factors}
    varied = [factor for factor, values in levels.items() if len(values) > 1 and "" not in values]
    cells = {tuple(choice[factor] for factor in varied): row for choice, row in zip(choices, rows, strict=True)}
    if len(varied) < 2 or math.prod(len(levels[factor]) for factor in varied) != len(rows) or len(cells) != len(rows):
        return [], []
    if lacking := [row.label for row in rows if split not in row.f1]:
        notes.append(f"What each factor does is left out until every configuration has a run: {named(lacking)}.")
        return [], []
    terms = factorial({place: _scores_by_seed(row, split) for place, row in cells.items()}, varied)
    mean = plain.fmean(row.f1[split].mean for row in rows)
    effects, interactions = [], []
    for term in terms:
        labels = [study.factors[factor] for factor in term.factors]
        if len(labels) == 1:
            adds = {level: value for (level,), value in term.effects.items()}
            intervals = {level: ends for (level,), ends in term.intervals.items()}
            levels_of = {level: mean + value for level, value in adds.items()}
            effects.append(Effect(term.factors[0], labels[0], levels_of, adds, intervals, term.share, term.p))
        else:
            (one, other), (here, there) = term.factors, labels
            pairs = {(a, b): value for (a, b), value in term.effects.items()}
            ends_of = {(a, b): ends for (a, b), ends in term.intervals.items()}
            interactions.append(Interaction((one, other), (here, there), pairs, ends_of, term.share, term.p))
    return effects, interactions


def _scores_by_seed(row: Row, split: str) -> dict[int, float]:
    return {seed: run.metrics[split]["f1"] for seed, run in _by_seed(row, split).items()}


def _by_seed(row: Row, split: str) -> dict[int, Run]:
    return {run.seed: run for run in row.runs if run.seed is not None and number_at(run, split, "f1") is not None}


def _counts(run: Run, split: str) -> np.ndarray | None:
    """Span counts of each sentence; None if the predictions are missing or are not those that were scored."""
    counts = run.sentence_counts(split)
    if counts is None:
        return None
    scored = [at(run, split, name) for name in ("correct", "predicted", "gold")]
    if None not in scored and counts.sum(axis=0).tolist() != scored:
        run.faults[split] = f"{run.folder / 'predictions' / split}.conll is not what metrics.json scored: other counts."
        return None
    return counts


def _cautions(study: StudyRuns, rows: Sequence[Row], split: str) -> list[str]:
    """Further notes that a reader must know first."""
    found = []
    if broken := [study.place(run) for run in study.runs if run.state == BROKEN]:
        found.append(f"A metrics.json that is none, left out: {named(broken)}. See runs without scores.")
    if superseded := [study.place(run) for run in study.superseded]:
        found.append(
            f"Of several runs with one configuration and seed the newest counts. Not counted: {named(superseded)}."
        )
    if stray := [os.path.relpath(place, study.folder) for place in study.stray]:
        found.append(f"Runs of configurations that are not in study.yaml, left out: {named(stray)}.")
    if trained := [row.label for row in rows if row.trained_on_dev]:
        found.append(
            f"Dev was trained on, so its scores choose nothing: {', '.join(f'`{label}`' for label in trained)}."
        )
    if lacking := [row.label for row in rows if row.runs and split not in row.f1]:
        found.append(f"Without scores of {split}: {named(lacking)}.")
    if faults := [fault for run in study.runs for fault in run.faults.values()]:
        more = f" And {len(faults) - _NAMED} more." if len(faults) > _NAMED else ""
        found.append(f"Predictions that could not be used: {' '.join(faults[:_NAMED])}{more}")
    return found


def _about_the_data(study: StudyRuns) -> list[str]:
    """Data warnings of the runs, each line once."""
    lines = [line for run in study.runs for line in run.metrics.get("warnings") or () if isinstance(line, str)]
    distinct = list(dict.fromkeys(lines))
    more = len(distinct) - _DATA_LINES
    return distinct[:_DATA_LINES] + ([f"And {more} more remarks on the data, in metrics.json."] if more > 0 else [])


def named(names: Sequence[str]) -> str:
    """`a`, `b`, `c` and 4 more"""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"`{name}`" for name in names[:_NAMED]) + more
