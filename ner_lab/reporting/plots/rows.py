"""Figures with one labelled row for each configuration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from ner_lab.reporting.analysis import Findings, Row, Summary
from ner_lab.reporting.plots.style import Look, grid, looks, new_figure, wrapped

LABEL_WIDTH = 30  # characters
_LINE = 0.165  # height of a line of text in inches
_AROUND = 0.75  # height of title, axis and legend in inches


def row_figure(
    labels: Sequence[str], *, columns: int = 1, lines: int = 1, least: float = 0.25
) -> tuple[Canvas, np.ndarray]:
    """A figure and its axes (lines, columns), with a row for each label, the first at the top.

    least: minimum row height in inches; long labels make rows higher.
    """
    height = max(least, 0.08 + _LINE * max(label.count("\n") + 1 for label in labels))
    figure = new_figure(lines * (height * len(labels) + _AROUND))
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_yticks(range(len(labels)))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        grid(axes, "x")
    for line in panels:
        line[0].set_yticklabels(labels)
        for axes in line[1:]:
            axes.tick_params(axis="y", labelleft=False)
    return figure, panels


def labels_of(findings: Findings, rows: Sequence[Row], width: int = LABEL_WIDTH) -> list[str]:
    """Labels of configurations for plots; the baseline is marked."""
    return [wrapped(row.label + " (baseline)" * is_baseline(findings, row), width) for row in rows]


def is_baseline(findings: Findings, row: Row) -> bool:
    """Whether this row is the baseline of the comparisons."""
    return findings.baseline is not None and row.name == findings.baseline.name


def looks_of(findings: Findings, rows: Sequence[Row]) -> dict[str, Look]:
    """The style of each configuration, by name, the same in all plots; in a grid it encodes the factors' levels."""
    factors = [[row.configuration.choices.get(effect.factor, "") for row in rows] for effect in findings.effects]
    return looks([row.name for row in rows], factors)


def draw_summary(axes: Axes, summary: Summary, at: float, look: Look, *, filled: bool = True, **settings: Any) -> None:
    """Draw a mean as a marker and its interval as a line, at height `at`."""
    if summary.low is not None and summary.high is not None:
        axes.plot(
            [summary.low, summary.high], [at, at], "-", color=look.colour, lw=1.6, solid_capstyle="butt", zorder=3
        )
    face = look.colour if filled else "white"
    axes.plot(summary.mean, at, look.marker, color=look.colour, mfc=face, ms=5, zorder=4, **settings)


def extent(summaries: Sequence[Summary]) -> list[float]:
    """Values that must be visible: means and interval limits."""
    ends = [end for summary in summaries for end in (summary.low, summary.high, summary.mean)]
    return [end for end in ends if end is not None]


def seeds_of(rows: Sequence[Row]) -> str:
    """`3 seeds`, or `1 to 3 seeds` if configurations differ; only those with seeds count."""
    numbers = sorted({len(row.runs) for row in rows if row.runs})
    if len(numbers) == 1:
        return f"{numbers[0]} seed{'s' * (numbers[0] != 1)}"
    return f"{numbers[0]} to {numbers[-1]} seeds"
