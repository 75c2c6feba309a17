"""F1 of each configuration: a dot for each seed, means with intervals, and differences from the baseline."""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.lines import Line2D

from ner_lab.reporting.analysis import Comparison, Findings, Row
from ner_lab.reporting.plots.rows import labels_of, row_figure, seeds_of
from ner_lab.reporting.plots.style import COLOURS, INK, QUIET, Drawing, counted, per_cent_axis, room_for, wrapped
from ner_lab.reporting.study_runs import SPLITS

_BLUE, _VERMILLION = COLOURS[:2]
_SPLIT_COLOURS = {"dev": _VERMILLION, "test": _BLUE}
_BUTT: Mapping[str, Any] = {"solid_capstyle": "butt"}  # a line that ends exactly at the interval limits
_APART = 0.19  # share of a row's height: dev above, test below its middle


def seeds(findings: Findings) -> Iterator[Drawing]:
    """A row for each configuration: hollow dots for dev, filled for test, mean and interval, published figures."""
    rows = findings.rows
    splits = [split for split in SPLITS if any(split in row.f1 for row in rows)]
    if not splits:
        return
    labels = [f"{name}\n{_runs(row)}" for name, row in zip(labels_of(findings, rows), rows, strict=True)]
    figure, panels = row_figure(labels, least=0.24 + 0.13 * len(splits))
    axes = panels[0, 0]
    shown: list[float] = []
    published = False
    for at, row in enumerate(rows):
        for split in splits:
            height = at + (_APART * (-1 if split == "dev" else 1) if len(splits) > 1 else 0.0)
            colour = _SPLIT_COLOURS[split]
            if (summary := row.f1.get(split)) is not None:
                if summary.low is not None and summary.high is not None:
                    axes.plot(
                        [summary.low, summary.high], [height, height], "-", color=colour, lw=5, alpha=0.3, **_BUTT
                    )
                    axes.plot([summary.mean] * 2, [height - 0.16, height + 0.16], "-", color=INK, lw=1.4, zorder=4)
                axes.plot(
                    summary.values,
                    [height] * summary.n,
                    "o",
                    color=colour,
                    mfc="white" if split == "dev" else colour,
                    ms=4.6,
                    mew=1.0,
                    alpha=0.85,
                    zorder=3,
                    gid=f"{split} {row.name}",
                )
                shown += [*summary.values, *(end for end in (summary.low, summary.high) if end is not None)]
            figures = [given for entry in row.published if (given := getattr(entry, split)) is not None]
            if figures:
                published = True
                face = "white" if split == "dev" else INK
                marks = {"ms": 5.5, "mew": 1.0, "color": INK, "mfc": face, "zorder": 5}
                axes.plot(figures, [height] * len(figures), "D", gid=f"published {split} {row.name}", **marks)
                shown += figures
    axes.set_xlim(*room_for(shown))
    axes.set_xlabel("F1 (%)")
    per_cent_axis(axes.xaxis)
    for border in range(1, len(rows)):
        axes.axhline(border - 0.5, color="#eeeeee", lw=0.8, zorder=0)
    handles = [
        Line2D(
            [],
            [],
            ls="",
            marker="o",
            ms=5,
            color=_SPLIT_COLOURS[split],
            mfc="white" if split == "dev" else None,
            label=f"{split}, a seed",
        )
        for split in splits
    ]
    intervals = any(summary.low is not None for row in rows for summary in row.f1.values())
    if intervals:
        handles += [
            Line2D([], [], ls="", marker="|", ms=9, mew=1.4, color=INK, label="mean"),
            Line2D([], [], color=QUIET, lw=5, alpha=0.4, label="its 95 % interval", **_BUTT),
        ]
    if published:
        handles.append(Line2D([], [], ls="", marker="D", ms=5.5, color=INK, label="published"))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), handletextpad=0.4, columnspacing=1.4)
    caption = f"F1 of every finished run on {' and '.join(splits)}, {seeds_of(rows)} a configuration."
    if intervals:
        caption += " Bars are 95 % bootstrap intervals of the mean over seeds."
    if published:
        hollow = " (hollow: dev)" if "dev" in splits else ""
        caption += f" Diamonds are published figures{hollow}: {'; '.join(_sources(findings))}."
    if any(row.configuration.failed for row in rows):
        caption += " Failed runs are counted beside the name and are in no mean."
    yield Drawing("seeds", "F1 of every seed", caption, figure)


def _runs(row: Row) -> str:
    done, failed = len(row.runs), len(row.configuration.failed)
    return ", ".join(["no finished run" if not done else counted(done, "seed")] + [f"{failed} failed"] * bool(failed))


def _sources(findings: Findings) -> list[str]:
    return list(dict.fromkeys(published.source for row in findings.rows for published in row.published))


def differences(findings: Findings) -> Iterator[Drawing]:
    """Mean F1 of each configuration minus the baseline's, with its interval."""
    comparisons = [comparison for comparison in findings.comparisons if comparison.row is not comparison.baseline]
    if not comparisons or findings.baseline is None:
        return
    labels = labels_of(findings, [comparison.row for comparison in comparisons])
    figure, panels = row_figure(labels)
    axes = panels[0, 0]
    axes.axvline(0, color=INK, lw=0.9)
    shown = [0.0]
    for at, comparison in enumerate(comparisons):
        filled = _off_zero(comparison)
        colour = _BLUE if filled else QUIET
        if comparison.low is not None and comparison.high is not None:
            axes.plot([comparison.low, comparison.high], [at, at], "-", color=colour, lw=1.8, **_BUTT)
            shown += [comparison.low, comparison.high]
        face = colour if filled else "white"
        axes.plot(
            comparison.difference,
            at,
            "o",
            color=colour,
            mfc=face,
            ms=6,
            zorder=3,
            gid=f"difference {comparison.row.name}",
        )
        shown.append(comparison.difference)
        axes.annotate(
            _in_words(comparison),
            (1, at),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    axes.set_xlim(*room_for(shown))
    per_cent_axis(axes.xaxis)
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:+.3g}".replace("-", "−") if number else "0")
    baseline = findings.baseline.label
    axes.set_xlabel(wrapped(f"difference in {findings.split} F1 from {baseline} (points)", 80))
    intervals = any(comparison.low is not None for comparison in comparisons)
    rows = [findings.baseline, *(comparison.row for comparison in comparisons)]
    caption = f"Mean {findings.split} F1 of each configuration less that of the baseline, {baseline}; {seeds_of(rows)}."
    if intervals:
        caption += " Lines are 95 % bootstrap intervals over seeds; a filled dot is one whose interval leaves 0 out."
    if any(comparison.low is None for comparison in comparisons):
        caption += " One seed gives no interval."
    yield Drawing("differences", "Differences from the baseline", caption, figure)


def _off_zero(comparison: Comparison) -> bool:
    return comparison.low is not None and comparison.high is not None and (comparison.low > 0 or comparison.high < 0)


def _in_words(comparison: Comparison) -> str:
    words = f"{comparison.difference:+.2f}"
    if comparison.low is not None and comparison.high is not None:
        words += f"  ({comparison.low:+.2f} to {comparison.high:+.2f})"
    return words.replace("-", "−")
