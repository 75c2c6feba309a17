"""Mistakes: counts by kind, and confusion of entity types."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage

from ner_lab.evaluation.error_analysis import KINDS, Prediction, mistakes_of, type_confusion
from ner_lab.reporting.analysis import Findings, Row
from ner_lab.reporting.plots.rows import is_baseline, labels_of, row_figure, seeds_of
from ner_lab.reporting.plots.style import COLOURS, INK, QUIET, Drawing, counted, new_figure, wrapped

_KIND_COLOURS = dict(zip(KINDS, (COLOURS[3], COLOURS[4], COLOURS[1], COLOURS[0], COLOURS[5]), strict=True))
_HATCHES = dict(zip(KINDS, ("", "///", "xxx", "", "..."), strict=True))
_COUNTED = 9  # maximum number of labels for which a cell shows its count below its share
_WRITTEN = 22  # maximum number of labels for which a cell shows a number


def predictions_of(findings: Findings, row: Row) -> list[list[Prediction]]:
    """The predictions of each finished run that has them."""
    return [read for run in row.runs if (read := run.predictions(findings.split)) is not None]


def kinds(findings: Findings) -> Iterator[Drawing]:
    """A bar for each configuration with the mean number of mistakes of each kind."""
    rows = [row for row in findings.rows if predictions_of(findings, row)]
    if not rows:
        return
    means = {row.name: mean_kinds(predictions_of(findings, row)) for row in rows}
    most = max(sum(of.values()) for of in means.values())
    if not most:
        return
    figure, panels = row_figure(labels_of(findings, rows), least=0.3)
    axes = panels[0, 0]
    starts = np.zeros(len(rows))
    for kind in KINDS:
        widths = np.array([means[row.name][kind] for row in rows])
        colour, hatch = _KIND_COLOURS[kind], _HATCHES[kind]
        axes.barh(
            range(len(rows)), widths, 0.66, starts, color=colour, hatch=hatch, edgecolor="white", lw=0.8, label=kind
        )
        for at, (start, width) in enumerate(zip(starts, widths, strict=True)):
            text = _short(width)
            if width / most > 0.013 * len(text) + 0.01:
                box = {"facecolor": colour, "edgecolor": "none", "pad": 0.8} if hatch else None
                dark = kind in (KINDS[3],)
                axes.text(
                    start + width / 2,
                    at,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if dark else INK,
                    bbox=box,
                )
        starts += widths
    for at, total in enumerate(starts):
        axes.annotate(
            _short(total), (total, at), (4, 0), textcoords="offset points", va="center", fontsize=8, fontweight="bold"
        )
    axes.set_xlim(0, most * 1.09)
    axes.set_xlabel(f"mistakes in {findings.split} (mean of a run)")
    figure.legend(loc="outside upper right", ncols=len(KINDS), handlelength=1.3, handletextpad=0.4, columnspacing=1.2)
    caption = (
        f"Mistakes of each kind on {findings.split}, mean number of a run over {seeds_of(rows)}; the number after a "
        "bar is their sum. A gold and a predicted entity that share tokens make a pair, with the wrong type, the wrong "
        "boundary or both; missed and spurious are the gold and the predicted entities left over."
    )
    yield Drawing("mistakes", "Kinds of mistakes", caption, figure)


def mean_kinds(runs: Sequence[Sequence[Prediction]]) -> dict[str, float]:
    """Mean number of mistakes of each kind over runs."""
    found = [mistake.kind for predictions in runs for mistake in mistakes_of(predictions)]
    return {kind: found.count(kind) / len(runs) for kind in KINDS}


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 20 or number == int(number) else f"{number:.1f}"


def confusion(findings: Findings) -> Iterator[Drawing]:
    """Gold types by predicted types, for the baseline and the best configuration on dev."""
    having = [row for row in findings.rows if predictions_of(findings, row)]
    marked = [row for row in (findings.baseline, findings.chosen) if row is not None and row in having]
    rows = list({row.name: row for row in marked or having[:1]}.values())
    if not rows:
        return
    tables = [mean_confusion(predictions_of(findings, row)) for row in rows]
    size = max(len(labels) for labels, _ in tables)
    if size < 2:
        return
    beside = size <= _COUNTED
    lines, columns = (1, len(rows)) if beside else (len(rows), 1)
    panel = min(3.1, 0.75 + 0.46 * size) if beside else min(6.6, 0.36 * size + 1.0)
    figure = new_figure(lines * panel + 0.9, width=min(7.2, columns * panel + 1.2))
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes, row, (labels, counts) in zip(panels.flat, rows, tables, strict=True):
        image = _draw_confusion(axes, labels, counts)
        runs = len(predictions_of(findings, row))
        axes.set_title(f"{wrapped(row.label + _role(findings, row), 34)}\n{counted(runs, 'seed')}")
        axes.set_xlabel("predicted")
        axes.set_ylabel("gold")
    bar = figure.colorbar(image, ax=panels, ticks=[0, 1, 5, 20, 50, 100], shrink=0.9, aspect=30 * lines, pad=0.02)
    bar.set_label("share of the gold row (%)")
    bar.outline.set_visible(False)
    counts_too = ", and below it the mean number in a run" if beside else ""
    caption = (
        f"Entity types on {findings.split}: of the gold entities of a row, the share predicted as each column"
        f"{counts_too}. Boundaries count apart: an entity with the right type and other boundaries is on the diagonal. "
        "Column O: missed. Row O: spurious, in numbers, for want of a gold row. Colours grow with the root of the "
        "share, so that small shares are seen."
    )
    yield Drawing("confusion", "Confusion of entity types", caption, figure)


def _role(findings: Findings, row: Row) -> str:
    roles = ["baseline"] * is_baseline(findings, row) + ["best on dev"] * row.best_on_dev
    return f" ({', '.join(roles)})" if roles else ""


def mean_confusion(runs: Sequence[Sequence[Prediction]]) -> tuple[list[str], np.ndarray]:
    """Labels, of which the last is O, and mean counts (gold, predicted) over runs."""
    tables = [type_confusion(predictions) for predictions in runs]
    labels = sorted({label for names, _ in tables for label in names[:-1]})
    places = {label: at for at, label in enumerate(labels)}
    mean = np.zeros((len(labels) + 1, len(labels) + 1))
    for names, counts in tables:
        at = [places[name] for name in names[:-1]] + [len(labels)]
        mean[np.ix_(at, at)] += np.asarray(counts, dtype=float) / len(tables)
    return [*labels, "O"], mean


def _draw_confusion(axes: Axes, labels: Sequence[str], counts: np.ndarray) -> AxesImage:
    sums = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.where(sums > 0, sums, 1)
    shares[-1] = np.nan  # no gold row
    norm = PowerNorm(0.5, 0, 100)
    image = axes.imshow(shares, cmap="Blues", norm=norm, aspect="auto")
    beside, size = len(labels) <= _COUNTED, len(labels)
    for (row, column), count in np.ndenumerate(counts):
        if size > _WRITTEN or (row == column == size - 1):
            continue
        share = shares[row, column]
        if np.isnan(share):
            text = f"{count:,.0f}" if count >= 0.5 else ""
        elif beside:
            text = f"{share:.1f}\n{count:,.0f}" if count else "0"
        else:
            text = f"{share:.0f}" if share >= 0.5 else ""
        dark = not np.isnan(share) and norm(share) > 0.55
        colour = "white" if dark else INK if count else QUIET
        axes.text(
            column, row, text, ha="center", va="center", fontsize=7 if beside else 6, color=colour, linespacing=1.1
        )
    axes.set_xticks(range(size), labels, rotation=0 if beside else 90)
    axes.set_yticks(range(size), labels)
    axes.axhline(size - 1.5, color=QUIET, lw=0.8)
    axes.axvline(size - 1.5, color=QUIET, lw=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
