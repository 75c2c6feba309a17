"""Labels beside points and at line ends, placed without overlap."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from ner_lab.reporting.plots.style import QUIET, settle

HALO = {"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
"""Behind names, over lines: a box, for outlined letters would not stay text"""
_FAR = 13.0  # distance in points from which a line connects the name with its point


def spread(places: Sequence[float], least: float) -> list[float]:
    """The nearest positions (least squares) in the same order that are at least `least` apart."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    groups: list[list[float]] = []  # members' positions minus their shift within the group
    for rank, at in enumerate(order):
        groups.append([places[at] - rank * least])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = [float(np.mean(group)) for group in groups for _ in group]
    found = [0.0] * len(places)
    for rank, at in enumerate(order):
        found[at] = moved[rank] + rank * least
    return found


def along(x: Sequence[float], y: Sequence[float], pieces: int = 24) -> list[Bbox]:
    """Boxes of the segments of a line from point to point, which `label_points` avoids."""
    ends = np.linspace(0, len(x) - 1, pieces * (len(x) - 1) + 1)
    points = np.column_stack([np.interp(ends, range(len(x)), x), np.interp(ends, range(len(y)), y)])
    return [Bbox(pair) for pair in pairwise(points)]


def label_points(
    axes: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], lines: Sequence[Bbox] = ()
) -> None:
    """Write each name beside its point, without covering other names, points or `lines` (data coordinates).

    points: first the points to label, then any others.
    Fixes the layout: later changes must not move the axes.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    if figure.get_layout_engine() is not None:
        settle(figure)
    scale = figure.dpi / 72
    centres = axes.transData.transform(np.asarray(points, dtype=float).reshape(-1, 2))
    covering = [Bbox.from_bounds(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale) for x, y in centres]
    covering += [Bbox(np.sort(axes.transData.transform(box.get_points()), axis=0)).padded(0.8 * scale) for box in lines]
    taken = np.array([box.extents for box in covering])
    inside = np.array([axes.get_window_extent().extents])
    for at in sorted(range(len(names)), key=lambda at: -centres[at][1]):
        note = axes.annotate(names[at], points[at], (0, 0), textcoords="offset points", fontsize=7.5, va="center")
        note.set_in_layout(False)
        box = note.get_window_extent()
        offsets = _offsets(box.width / scale, box.height / scale)
        offset = offsets[int(np.argmin(_costs(box, offsets, scale, taken, inside)))]
        note.remove()
        axes.annotate(
            names[at],
            points[at],
            offset,
            textcoords="offset points",
            fontsize=7.5,
            va="center",
            annotation_clip=False,
            bbox=HALO,
            zorder=2.5,  # above lines, below markers
            arrowprops={
                "arrowstyle": "-",
                "lw": 0.5,
                "color": QUIET,
                "shrinkA": 0,
                "shrinkB": 3.5,
                "relpos": _towards(offset, box, scale),
            }
            if _distance(offset, box, scale) > _FAR
            else None,
        )
        taken = np.vstack([taken, _moved(box, [offset], scale)])


def _offsets(width: float, height: float) -> list[tuple[float, float]]:
    """Possible offsets of a name's left end from its point, in points: beside it first, then around, then further."""
    found = []
    for distance in (7.0, 13.0, 20.0, 29.0, 40.0, 54.0):
        rows = [share * (distance + height / 2) for share in (0, 0.5, -0.5, 1, -1)]
        columns = (distance, -distance - width, -width / 2, distance / 2, -distance / 2 - width)
        for down, right in product(rows, columns):
            clear = abs(down) >= height / 2 + 4 or right >= 6 or right + width <= -6
            if clear:
                found.append((right, down))
    return found


def _moved(box: Bbox, offsets: Sequence[tuple[float, float]], scale: float) -> np.ndarray:
    """The box at each possible position (places, 4), as left, bottom, right and top."""
    return box.extents + np.tile(np.asarray(offsets) * scale, 2)


def _costs(
    box: Bbox, offsets: Sequence[tuple[float, float]], scale: float, taken: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """Cost of each position: overlap and area outside the axes, weighted far above distance; in points (places,)."""
    placed = _moved(box, offsets, scale)
    outside = box.width * box.height - _shared(placed, inside)
    distances = np.array([_distance(offset, box, scale) for offset in offsets])
    return 20 * (_shared(placed, taken) + 3 * outside) / scale**2 + distances


def _distance(offset: tuple[float, float], box: Bbox, scale: float) -> float:
    """Distance from the point to the nearest part of the name."""
    width, height = box.width / scale, box.height / scale
    across = max(offset[0], -(offset[0] + width), 0.0)
    along = max(abs(offset[1]) - height / 2, 0.0)
    return float(np.hypot(across, along))


def _towards(offset: tuple[float, float], box: Bbox, scale: float) -> tuple[float, float]:
    """The part of the name nearest to the point, as shares of its width and height."""
    width, height = box.width / scale, box.height / scale
    return float(np.clip(-offset[0] / width, 0, 1)), float(np.clip(0.5 - offset[1] / height, 0, 1))


def _shared(placed: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Total area that each box (boxes, 4) shares with all others (others, 4), (boxes,)."""
    least = np.minimum(placed[:, None, 2:], others[None, :, 2:]) - np.maximum(placed[:, None, :2], others[None, :, :2])
    return least.clip(min=0).prod(axis=2).sum(axis=1)
