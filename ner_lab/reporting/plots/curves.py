"""Learning curves: dev F1 after every epoch, over epochs and over training time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from ner_lab.reporting.analysis import Findings, Row
from ner_lab.reporting.plots.rows import looks_of, seeds_of
from ner_lab.reporting.plots.style import (
    COLOURS,
    Drawing,
    Look,
    grid,
    looks,
    new_figure,
    per_cent_axis,
    room_for,
    time_unit,
    wrapped,
)
from ner_lab.reporting.study_runs import FINISHED, Run, label_of

_TOGETHER = 8  # maximum number of curves in a single panel
_FACETED = 6  # the same with several panels
_BESIDE = 24  # characters per line of a legend beside a panel
_LINE = 0.14  # height of a legend line in inches

History = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Epochs, seconds from the start of training, dev F1"""


class Curve(NamedTuple):
    """Mean over the runs of a configuration, up to the end of the shortest; `low` and `high` are the extremes.

    tails: the rest of each longer run, from the end of the mean on.
    """

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    tails: Sequence[tuple[np.ndarray, np.ndarray]]
    runs: int


class _View(NamedTuple):
    """The x axis of the curves.

    whole: it takes only integers. about: how the caption begins.
    """

    name: str
    title: str
    across: str
    whole: bool
    about: str


def learning_curves(findings: Findings) -> Iterator[Drawing]:
    """One figure over epochs, one over seconds; many configurations are split into panels."""
    histories = {row.name: found for row in findings.rows if (found := list(filter(None, map(history_of, row.runs))))}
    if not histories or max(len(epochs) for runs in histories.values() for epochs, _, _ in runs) < 2:
        return
    rows = [row for row in findings.rows if row.name in histories]
    by_epoch = {name: over_epochs(runs) for name, runs in histories.items()}
    about = f"Dev F1 after every epoch, mean of {seeds_of(rows)}."
    over = _View("curves_epochs", "Learning curves over epochs", "epoch", True, about)
    yield _draw(findings, rows, by_epoch, over)
    longest = max(seconds[-1] for runs in histories.values() for _, seconds, _ in runs)
    if longest <= 0:
        return
    divisor, unit = time_unit(longest)
    by_time = {name: over_time(runs, divisor) for name, runs in histories.items()}
    about = (
        "Dev F1 after every epoch against the time from the start of training to the end of that epoch; "
        f"both are the mean of {seeds_of(rows)}, epoch by epoch."
    )
    over = _View("curves_time", "Learning curves over time", f"training time ({unit})", False, about)
    yield _draw(findings, rows, by_time, over)


def history_of(run: Run) -> History | None:
    """A run's dev F1 over its epochs; None if there is none."""
    epochs, seconds, f1 = [], [], []
    passed = 0.0
    for entry in run.metrics.get("history") or ():
        passed += entry.get("seconds") or 0.0
        value = (entry.get("dev") or {}).get("f1")
        if value is not None and np.isfinite(value):
            epochs.append(entry["epoch"])
            seconds.append(passed)
            f1.append(value)
    return (np.array(epochs, float), np.array(seconds), np.array(f1)) if f1 else None


def over_epochs(runs: Sequence[History]) -> Curve:
    """The mean over runs after each epoch that all of them reached."""
    epochs = _shared(runs)
    return _curve(runs, epochs, epochs, [run_epochs for run_epochs, _, _ in runs])


def over_time(runs: Sequence[History], divisor: float = 1.0) -> Curve:
    """The same, each epoch's mean drawn at the mean time, in units of `divisor` seconds, at which the runs ended it.

    Not the mean at a fixed time: run times depend on the machine, which would end the curve early.
    """
    epochs = _shared(runs)
    at_end = np.array([seconds[np.isin(run_epochs, epochs)] for run_epochs, seconds, _ in runs]) / divisor
    return _curve(runs, epochs, at_end.mean(axis=0), [seconds / divisor for _, seconds, _ in runs])


def _shared(runs: Sequence[History]) -> np.ndarray:
    """Epochs that all runs reached."""
    return np.array(sorted(set.intersection(*(set(epochs.tolist()) for epochs, _, _ in runs))))


def _curve(runs: Sequence[History], shared: np.ndarray, x: np.ndarray, of_runs: Sequence[np.ndarray]) -> Curve:
    """x: positions of the shared epochs; of_runs: positions of each run's epochs, for its tail."""
    end = shared[-1] if len(shared) else 0
    left = [(places[epochs >= end], f1[epochs >= end]) for places, (epochs, _, f1) in zip(of_runs, runs, strict=True)]
    if not len(shared):
        return Curve(x, x, x, x, left, len(runs))
    tails = [tail for tail in left if len(tail[0]) > 1]
    values = np.array([f1[np.isin(epochs, shared)] for epochs, _, f1 in runs])
    return Curve(x, values.mean(axis=0), values.min(axis=0), values.max(axis=0), tails, len(runs))


class _Panel(NamedTuple):
    title: str
    rows: Sequence[Row]
    names: Sequence[str]


def _draw(findings: Findings, rows: Sequence[Row], curves: Mapping[str, Curve], view: _View) -> Drawing:
    panels = panels_of(findings, rows)
    single = all(len(panel.rows) == 1 for panel in panels) and len(panels) > 1
    columns = 1 if len(panels) == 1 else 4 if single else min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = new_figure(3.5 if lines == 1 else 1.75 * lines + 0.5)
    all_axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in all_axes.flat[len(panels) :]:
        axes.set_visible(False)
    shared = _shared_looks(findings, panels)
    baseline = findings.baseline if single and findings.baseline in rows else None
    for axes, panel in zip(all_axes.flat, panels, strict=False):
        if baseline is not None and baseline not in panel.rows:
            axes.plot(curves[baseline.name].x, curves[baseline.name].mean, color="#8a8a8a", ls=(0, (2, 1.2)), lw=1)
        for row, label in zip(panel.rows, panel.names, strict=True):
            _draw_curve(axes, curves[row.name], shared[label], label, row.name)
        axes.set_title(wrapped(panel.title, 22 if single else 26 if len(panels) > 1 else 80))
        grid(axes, "y")
        per_cent_axis(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(4 if columns > 1 else 8, steps=[1, 2, 5, 10], integer=view.whole))
    low, high, cut = _limits(list(curves.values()))
    all_axes[0, 0].set_ylim(low, high)
    if view.whole:
        all_axes[0, 0].set_xlim(left=max(all_axes[0, 0].get_xlim()[0], 0.2))  # epochs start at 1
    for line in all_axes:
        line[0].set_ylabel("dev F1 (%)")
    for at, axes in enumerate(all_axes.flat[: len(panels)]):
        if at + columns >= len(panels):
            axes.set_xlabel(view.across)
            axes.tick_params(axis="x", labelbottom=True)
    if not single:
        _legend(figure, all_axes, panels, curves)
    caption = view.about + _caption(curves, cut)
    if baseline is not None:
        caption += f" Dotted: the baseline, {baseline.label}."
    return Drawing(view.name, view.title, caption, figure)


def panels_of(findings: Findings, rows: Sequence[Row]) -> list[_Panel]:
    """All curves in one panel; if there are too many, split by the levels of a factor, else one panel each."""
    if len(rows) <= _TOGETHER:
        return [_Panel("", rows, [row.label for row in rows])]
    own_names = any(run.label is not None for row in rows for run in row.runs)
    for factor, label in {} if own_names else findings.study.factors.items():
        if any(factor not in row.configuration.choices for row in rows):
            continue
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(row.configuration.choices[factor], []).append(row)
        if 1 < max(map(len, groups.values())) <= _FACETED:
            return [
                _Panel(f"{label}: {level}", group, [_name_without(findings, row, factor) for row in group])
                for level, group in groups.items()
            ]
    return [_Panel(row.label, [row], [row.label]) for row in rows]


def _name_without(findings: Findings, row: Row, factor: str) -> str:
    rest = {key: value for key, value in row.configuration.choices.items() if key != factor}
    return label_of(Run(row.runs[0].folder, "", None, rest, None, FINISHED), findings.study.factors)


def _shared_looks(findings: Findings, panels: Sequence[_Panel]) -> dict[str, Look]:
    """The style by curve name: a name has the same style in every panel."""
    if len(panels) == 1:
        by_row = looks_of(findings, findings.rows)
        return {name: by_row[row.name] for row, name in zip(panels[0].rows, panels[0].names, strict=True)}
    names = list(dict.fromkeys(name for panel in panels for name in panel.names))
    if all(len(panel.rows) == 1 for panel in panels):
        return dict.fromkeys(names, Look(COLOURS[0], "o", "-"))
    return looks(names)


def _draw_curve(axes: Axes, curve: Curve, look: Look, label: str, name: str) -> None:
    few = len(curve.x) < 2
    axes.plot(
        curve.x,
        curve.mean,
        color=look.colour,
        ls=look.dashes,
        marker=look.marker,
        ms=4,
        markevery=max(1, len(curve.x) // 6) if not few else 1,
        label=label,
        zorder=3,
        gid=f"curve {name}",
    )
    if curve.runs > 1 and not few:
        axes.fill_between(curve.x, curve.low, curve.high, color=look.colour, alpha=0.15, lw=0, zorder=1)
    for x, f1 in curve.tails:
        axes.plot(x, f1, color=look.colour, lw=0.7, alpha=0.6, zorder=2)


def _limits(curves: Sequence[Curve]) -> tuple[float, float, bool]:
    """Limits of F1, and whether the first epochs are below them: when they would squeeze the rest into a quarter."""
    everything = [
        f1 for curve in curves for f1 in (curve.low, curve.high, *(tail for _, tail in curve.tails)) if len(f1)
    ]
    lowest, highest = min(float(f1.min()) for f1 in everything), max(float(f1.max()) for f1 in everything)
    later = min(float(f1[len(f1) // 4 :].min()) for f1 in everything)
    cut = highest - later < 0.25 * (highest - lowest)
    low = highest - 2.2 * (highest - later) if cut else lowest
    low, high = room_for([low, highest], share=0.04)
    return max(low, 0.0) if lowest >= 0 else low, high, cut


def _legend(figure: Canvas, all_axes: np.ndarray, panels: Sequence[_Panel], curves: Mapping[str, Curve]) -> None:
    """Draw the legend, sorted by last score: beside a single panel, or below if it is too low or one of several."""
    ends: dict[str, list[float]] = {}
    for panel in panels:
        for row, name in zip(panel.rows, panel.names, strict=True):
            ends.setdefault(name, []).append(_last(curves[row.name]))
    handles = {
        line.get_label(): line for axes in all_axes.flat for line in axes.get_lines() if line.get_label() in ends
    }
    order = sorted(handles, key=lambda name: -float(np.mean(ends[str(name)])))
    if len(order) < 2 and len(panels) == 1:
        all_axes[0, 0].set_title(wrapped(str(order[0]), 80))
        return
    lines, words = [handles[name] for name in order], [wrapped(str(name), _BESIDE) for name in order]
    height = sum(word.count("\n") + 1.4 for word in words) * _LINE
    if len(panels) == 1 and height < figure.get_figheight():
        figure.legend(lines, words, handlelength=3.2, loc="outside right upper")
        return
    longest = max(len(str(name)) for name in order)
    columns = min(next((columns for columns in (3, 2) if longest <= 80 // columns), 1), len(order))
    words = [wrapped(str(name), 80) for name in order]
    height = sum(word.count("\n") + 1.4 for word in words) / columns * _LINE
    figure.set_figheight(figure.get_figheight() + height)
    figure.legend(lines, words, handlelength=3.2, loc="outside lower left", ncols=columns)


def _last(curve: Curve) -> float:
    return float(curve.mean[-1]) if len(curve.mean) else float(np.mean([f1[-1] for _, f1 in curve.tails]))


def _caption(curves: Mapping[str, Curve], cut: bool) -> str:
    caption = ""
    if any(curve.runs > 1 for curve in curves.values()):
        caption += " Bands reach from the lowest to the highest seed."
    if any(curve.tails for curve in curves.values()):
        caption += " Means end where the first seed stopped; thin lines are the seeds that went on."
    if cut:
        caption += " The first epochs lie below what is shown."
    return caption
