"""A decoder's transition scores before and after training."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.image import AxesImage

from ner_lab.reporting.analysis import Findings, Row
from ner_lab.reporting.plots.style import INK, QUIET, Drawing, counted, new_figure

_FORBIDDEN = 1000.0  # scores of this size forbid a transition
_WRITTEN = 12  # maximum number of tags for which the cells show scores
_BESIDE = 30  # maximum number of tags for which before and after are side by side
_GAP = 0.5  # cells between the matrix and the start and end scores


class Scores(NamedTuple):
    """`matrix` (from, to), `start` and `end` (tags,); NaN for forbidden transitions."""

    tags: Sequence[str]
    matrix: np.ndarray
    start: np.ndarray
    end: np.ndarray


def transitions(findings: Findings) -> Iterator[Drawing]:
    """Plot the matrix before and after training, for the best configuration on dev that has one."""
    having = [row for row in findings.rows if any(run.metrics.get("transitions") for run in row.runs)]
    if not having:
        return
    row = max(having, key=_dev)
    found = [run.metrics["transitions"] for run in row.runs if run.metrics.get("transitions")]
    alike = [one for one in found if one["tags"] == found[0]["tags"]]
    before, after = mean_scores(alike, "before"), mean_scores(alike, "after")
    size = len(before.tags)
    beside = size <= _BESIDE
    figure = new_figure(min(3.2, 1.2 + 0.2 * size) + 1.1 if beside else 12.4)
    panels = figure.subplots(*((1, 2) if beside else (2, 1)), sharex=not beside, sharey=True)
    values = np.concatenate([np.ravel(part) for scores in (before, after) for part in scores[1:]])
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    norm = TwoSlopeNorm(0.0, -(largest or 1.0), largest or 1.0)
    for axes, scores, when in zip(panels, (before, after), ("before training", "after training"), strict=True):
        image = _draw(axes, scores, norm)
        axes.set_title(when)
        axes.set_xlabel("to")
        axes.set_ylabel("from")
        axes.label_outer()
    bar = figure.colorbar(image, ax=panels, shrink=0.9, aspect=30 if beside else 90, pad=0.02)
    bar.set_label("transition score")
    bar.outline.set_visible(False)
    over = f"mean of {counted(len(alike), 'seed')}" if len(alike) > 1 else "one seed"
    caption = (
        f"Transition scores (unnormalised log-probabilities) of {row.label}, {over}: from the tag of a row to that of "
        "a column; apart, the scores of starting with a tag (top row) and of ending with it (last column). Purple "
        "raises, orange lowers the score of a sequence; the palest is 0."
    )
    if np.isnan(values).any():
        caption += " Grey moves are barred."
    yield Drawing("transitions", "Transition scores before and after training", caption, figure)


def _dev(row: Row) -> tuple[bool, float]:
    """Sort key: dev F1, unless dev was trained on."""
    return (not row.trained_on_dev, row.f1["dev"].mean) if "dev" in row.f1 else (False, 0.0)


def mean_scores(found: Sequence[Mapping[str, Any]], when: str) -> Scores:
    """Mean over runs, "before" or "after" training."""

    def mean(part: str) -> np.ndarray:
        values = np.array([one[part][when] for one in found], dtype=float)
        return np.where(np.abs(values) < _FORBIDDEN, values, np.nan).mean(axis=0)

    return Scores(found[0]["tags"], mean("matrix"), mean("start"), mean("end"))


def _draw(axes: Axes, scores: Scores, norm: Normalize) -> AxesImage:
    """Draw the matrix. Rows: start, gap, tags; columns: tags, gap, end. A cell is one unit wide."""
    size = len(scores.tags)
    first = 1 + _GAP  # row of the first tag
    last = size + _GAP  # column of the end scores
    pieces = (
        (scores.start[None], (0, size, 1, 0)),
        (scores.matrix, (0, size, first + size, first)),
        (scores.end[:, None], (last, last + 1, first + size, first)),
    )
    axes.set_facecolor("white")
    for values, (left, right, bottom, top) in pieces:
        axes.imshow(
            np.full(values.shape, 0.75), cmap="gray", vmin=0, vmax=1, extent=(left, right, bottom, top), aspect="auto"
        )
        image = axes.imshow(values, cmap="PuOr", norm=norm, extent=(left, right, bottom, top), aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if size <= _WRITTEN and np.isfinite(value):
                share = abs(norm(value) - 0.5) * 2
                colour = "white" if share > 0.65 else INK
                text = f"{value:.1f}".replace("-", "−") if abs(value) >= 0.05 else "0"
                axes.text(
                    left + column + 0.5, top + row + 0.5, text, ha="center", va="center", fontsize=6, color=colour
                )
    small = 8 if size <= 20 else 6 if size <= _BESIDE else 5
    axes.set_xticks([*np.arange(size) + 0.5, last + 0.5], [*scores.tags, "end"], rotation=90, fontsize=small)
    axes.set_yticks([0.5, *np.arange(size) + first + 0.5], ["start", *scores.tags], fontsize=small)
    axes.set_xlim(0, last + 1)
    axes.set_ylim(first + size, 0)
    axes.tick_params(length=0, colors=QUIET, labelcolor=INK)
    axes.spines[:].set_visible(False)
    return image
