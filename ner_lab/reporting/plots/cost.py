"""F1 against cost: number of parameters and training time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from ner_lab.reporting.analysis import Findings, Row, Summary
from ner_lab.reporting.plots.labels import label_points
from ner_lab.reporting.plots.rows import extent, looks_of, seeds_of
from ner_lab.reporting.plots.style import (
    Drawing,
    ShortNumbers,
    grid,
    new_figure,
    per_cent_axis,
    room_for,
    settle,
    time_unit,
    wrapped,
)

_NAMED = 10  # maximum number of configurations labelled by name instead of number
_LONG = 44  # maximum name length for this, in characters
_WIDE = 12.0  # ratio of largest to smallest value above which an axis is logarithmic


class _Point(NamedTuple):
    row: Row
    x: float
    low: float
    high: float
    f1: Summary


def cost(findings: Findings) -> Iterator[Drawing]:
    """Mean F1 against parameters and against training time, if these differ between configurations."""
    rows = [row for row in findings.rows if findings.split in row.f1]
    parameters = [
        _point(findings, row, float(sum(row.parameters.values()))) for row in rows if any(row.parameters.values())
    ]
    timed = [(row, row.train_seconds) for row in rows if row.train_seconds is not None and row.train_seconds.mean > 0]
    divisor, unit = time_unit(max((time.max for _, time in timed), default=0.0))
    times = [_point(findings, row, time.mean / divisor, time.min / divisor, time.max / divisor) for row, time in timed]
    panels = [
        (points, label)
        for points, label in ((parameters, "parameters, frozen ones too"), (times, f"training time ({unit})"))
        if len({point.x for point in points}) > 1
    ]
    if not panels:
        return
    numbered = len(rows) > _NAMED or max(len(row.label) for row in rows) > _LONG
    figure = new_figure(
        3.4 + (0.16 * -(-len(rows) // 2) if numbered else 0), width=7.2 if len(panels) > 1 or numbered else 5.0
    )
    looks = looks_of(findings, findings.rows)
    names = {row.name: str(at) if numbered else wrapped(row.label, 22) for at, row in enumerate(rows, 1)}
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axes, (points, label) in zip(all_axes, panels, strict=True):
        _scale(axes, points)
        for point in points:
            look = looks[point.row.name]
            if point.f1.low is not None and point.f1.high is not None:
                axes.plot([point.x, point.x], [point.f1.low, point.f1.high], "-", color=look.colour, lw=1.2)
            if point.high > point.low:
                axes.plot([point.low, point.high], [point.f1.mean] * 2, "-", color=look.colour, lw=0.8)
            axes.plot(
                point.x, point.f1.mean, look.marker, color=look.colour, ms=6, zorder=3, gid=f"cost {point.row.name}"
            )
        axes.set_xlabel(label)
        grid(axes, "both")
        per_cent_axis(axes.yaxis)
    all_axes[0].set_ylim(*room_for(extent([point.f1 for points, _ in panels for point in points]), share=0.12))
    all_axes[0].set_ylabel(f"{findings.split} F1 (%)")
    if numbered:
        handles = [
            Line2D(
                [],
                [],
                ls="",
                marker=looks[row.name].marker,
                color=looks[row.name].colour,
                ms=5,
                label=f"{names[row.name]}  {wrapped(row.label, 44)}",
            )
            for row in rows
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=2, handletextpad=0.3)
    settle(figure)
    for axes, (points, _) in zip(all_axes, panels, strict=True):
        boxes = [
            Bbox([[p.x, p.f1.low], [p.x, p.f1.high]]) for p in points if p.f1.low is not None and p.f1.high is not None
        ]
        boxes += [Bbox([[p.low, p.f1.mean], [p.high, p.f1.mean]]) for p in points if p.high > p.low]
        label_points(axes, [(p.x, p.f1.mean) for p in points], [names[p.row.name] for p in points], boxes)
    caption = f"Mean {findings.split} F1 of {seeds_of(rows)}."
    if any(row.f1[findings.split].low is not None for row in rows):
        caption += " Upright lines are 95 % bootstrap intervals over seeds"
        caption += ", level ones the fastest and the slowest run." if any(p.high > p.low for p in times) else "."
    yield Drawing("cost", "F1 against size and time", caption, figure)


def _point(findings: Findings, row: Row, x: float, low: float | None = None, high: float | None = None) -> _Point:
    return _Point(row, x, x if low is None else low, x if high is None else high, row.f1[findings.split])


def _scale(axes: Axes, points: Sequence[_Point]) -> None:
    """Set a linear scale, or a logarithmic one if the values are too far apart."""
    low, high = min(point.low for point in points), max(point.high for point in points)
    if low > 0 and high / low > _WIDE:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if high / low < 1000 else (1.0,)))
        axes.xaxis.set_major_formatter(ShortNumbers(each_its_own=True))
        axes.xaxis.set_minor_formatter(NullFormatter())
        margin = (high / low) ** 0.08
        axes.set_xlim(low / margin, high * margin)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(ShortNumbers())
        axes.set_xlim(*room_for([low, high], share=0.1, least=1e-9))
