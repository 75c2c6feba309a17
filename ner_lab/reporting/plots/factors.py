"""Main effects of the factors of a full grid, and their interactions."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes

from ner_lab.reporting.analysis import Effect, Findings, Row
from ner_lab.reporting.plots.labels import along, label_points, spread
from ner_lab.reporting.plots.rows import seeds_of
from ner_lab.reporting.plots.style import (
    QUIET,
    Drawing,
    grid,
    looks,
    new_figure,
    per_cent_axis,
    room_for,
    settle,
    wrapped,
)

_MOST = 6  # maximum number of interaction panels
_NAME = 14  # characters per line of a level's name
_LETTERS = 36  # total characters of all levels, up to which their names are horizontal


def main_effects(findings: Findings) -> Iterator[Drawing]:
    """A panel for each factor: the mean of each level, and the configurations it averages."""
    effects, cells = findings.effects, _cells(findings)
    if len(effects) < 2 or not cells:
        return
    across = min(len(effects), 3)
    down = -(-len(effects) // across)
    figure = new_figure(2.5 * down + 0.2)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    to_name = []
    for axes, effect in zip(panels.flat, effects, strict=False):
        levels = _levels(findings.rows, effect)
        means = [float(np.mean(_at(cells, findings.rows, effect, level))) for level in levels]
        circles: list[tuple[float, float]] = []
        for at, level in enumerate(levels):
            several = _at(cells, findings.rows, effect, level)
            beside = np.linspace(-0.18, 0.18, len(several)) if len(several) > 1 else np.zeros(1)
            axes.plot(at + beside, several, "o", color=QUIET, mfc="white", ms=4, mew=0.8, zorder=2)
            circles += zip((at + beside).tolist(), several, strict=True)
        axes.plot(range(len(levels)), means, "-D", color="#0072B2", ms=6.5, zorder=3, gid=f"effect {effect.factor}")
        _name_levels(axes, levels)
        axes.set_title(wrapped(effect.label, 28))
        axes.set_xlabel(f"best − worst: {max(means) - min(means):.2f} points", color=QUIET, fontsize=8)
        axes.set_ylim(*room_for(list(cells.values()), share=0.1))
        to_name.append((axes, means, circles))
    _finish(panels, len(effects), f"{findings.split} F1 (%)")
    settle(figure)
    for axes, means, circles in to_name:
        points = [*enumerate(means), *circles]
        label_points(axes, points, [f"{mean:.2f}" for mean in means], along(range(len(means)), means))
    caption = (
        f"Mean {findings.split} F1 of each level over all levels of the other factors (diamonds); "
        f"each configuration counts once, by the mean of its {seeds_of(findings.rows)} (circles)."
    )
    yield Drawing("main_effects", "Main effects", caption, figure)


def interactions(findings: Findings) -> Iterator[Drawing]:
    """A panel for each pair of factors: levels of one on the x axis, one line for each level of the other."""
    effects, cells = findings.effects, _cells(findings)
    pairs = (
        sorted(combinations(effects, 2), key=lambda pair: -_interaction(findings.rows, cells, *pair)) if cells else []
    )
    if not pairs:
        return
    shown = pairs[:_MOST]
    across = min(len(shown), 2)
    down = -(-len(shown) // across)
    figure = new_figure(2.8 * down + 0.2, width=7.2 if across > 1 else 5.0)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    means: list[float] = []
    for axes, pair in zip(panels.flat, shown, strict=False):
        means += _draw_interaction(axes, findings, cells, *pair)
    limits = room_for(means, share=0.1)
    for axes in panels.flat:
        axes.set_ylim(*limits)
    _finish(panels, len(shown), f"{findings.split} F1 (%)")
    settle(figure)
    for axes in panels.flat[: len(shown)]:
        _name_lines(axes, figure.dpi / 72)
    others = " over the levels of the other factors" if len(effects) > 2 else " over seeds"
    caption = (
        f"Mean {findings.split} F1{others}, {seeds_of(findings.rows)} a configuration. Parallel lines: what one factor "
        "does is the same at every level of the other."
    )
    if len(effects) == 2 and any(
        row.f1[findings.split].low is not None for row in findings.rows if findings.split in row.f1
    ):
        caption += " Bars are 95 % bootstrap intervals over seeds."
    if len(pairs) > len(shown):
        caption += f" The {len(shown)} largest interactions of {len(pairs)} pairs of factors."
    yield Drawing("interactions", "Interactions", caption, figure)


def _draw_interaction(
    axes: Axes, findings: Findings, cells: Mapping[str, float], one: Effect, two: Effect
) -> list[float]:
    """Draw a pair of factors, the one with more levels on the x axis; return the values that must be visible."""
    across, lines = (one, two) if len(_levels(findings.rows, one)) >= len(_levels(findings.rows, two)) else (two, one)
    steps, series = _levels(findings.rows, across), _levels(findings.rows, lines)
    shown: list[float] = []
    for at, (level, look) in enumerate(looks(series).items()):
        found = [_rows_at(findings.rows, {across.factor: step, lines.factor: level}) for step in steps]
        means = [float(np.mean([cells[row.name] for row in rows])) for rows in found]
        places = np.arange(len(steps)) + (at - (len(series) - 1) / 2) * 0.06
        axes.plot(places, means, ls=look.dashes, color=look.colour, marker=look.marker, label=level, zorder=3)
        shown += means
        for place, rows in zip(places, found, strict=True):
            summary = rows[0].f1[findings.split]
            if len(rows) == 1 and summary.low is not None and summary.high is not None:
                axes.plot(
                    [place, place], [summary.low, summary.high], "-", color=look.colour, lw=1.1, alpha=0.7, zorder=2
                )
                shown += [summary.low, summary.high]
    _name_levels(axes, steps)
    axes.set_xlim(-0.3, len(steps) - 1 + 0.3 + 0.35 * (len(steps) - 1))
    axes.set_xlabel(across.label)
    axes.set_title(wrapped(f"{lines.label} by {across.label}", 40))
    return shown


def _name_lines(axes: Axes, scale: float) -> None:
    """Label each line after its end, moving labels apart if line ends are close. scale: dots per point."""
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    ends = [np.asarray(line.get_xydata())[-1] for line in lines]
    heights = [float(axes.transData.transform(end)[1]) for end in ends]
    for line, end, height, place in zip(lines, ends, heights, spread(heights, 9.5 * scale), strict=True):
        axes.annotate(
            str(line.get_label()),
            (end[0], end[1]),
            (9, (place - height) / scale),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=line.get_color(),
            annotation_clip=False,
        )


def _finish(panels: np.ndarray, used: int, label: str) -> None:
    for axes in panels.flat[used:]:
        axes.set_visible(False)
    for axes in panels.flat[:used]:
        grid(axes, "y")
        per_cent_axis(axes.yaxis)
    for line in panels:
        line[0].set_ylabel(label)


def _name_levels(axes: Axes, levels: Sequence[str]) -> None:
    turned = sum(map(len, levels)) > _LETTERS
    axes.set_xticks(range(len(levels)), [wrapped(level, 2 * _NAME if turned else _NAME) for level in levels])
    if turned:
        axes.tick_params(axis="x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axes.set_xlim(-0.45, len(levels) - 0.55)


def _cells(findings: Findings) -> dict[str, float]:
    """Mean F1 of each configuration of the grid; empty if one has none."""
    if any(findings.split not in row.f1 for row in findings.rows):
        return {}
    return {row.name: row.f1[findings.split].mean for row in findings.rows}


def _levels(rows: Sequence[Row], effect: Effect) -> list[str]:
    """Levels in the order of the study."""
    return list(dict.fromkeys(row.configuration.choices[effect.factor] for row in rows))


def _rows_at(rows: Sequence[Row], levels: Mapping[str, str]) -> list[Row]:
    return [row for row in rows if all(row.configuration.choices[factor] == level for factor, level in levels.items())]


def _at(cells: Mapping[str, float], rows: Sequence[Row], effect: Effect, level: str) -> list[float]:
    return [cells[row.name] for row in _rows_at(rows, {effect.factor: level})]


def _interaction(rows: Sequence[Row], cells: Mapping[str, float], one: Effect, two: Effect) -> float:
    """Root mean square residual of the cell means after subtracting the additive effects of both factors."""
    table = np.array(
        [
            [
                np.mean([cells[row.name] for row in _rows_at(rows, {one.factor: i, two.factor: j})])
                for j in _levels(rows, two)
            ]
            for i in _levels(rows, one)
        ]
    )
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return float(np.sqrt((rest**2).mean()))
