"""How plots look: one style for all, safe for colour-blind eyes, sized for a page, written the same each time."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

WIDTH = 7.2  # inches: the text of a page
DPI = 200
INK, QUIET, FAINT = "#1a1a1a", "#6b6b6b", "#dddddd"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Those of Okabe and Ito, told apart by colour-blind eyes; without yellow, which is too light for thin lines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.4, 1.4)), (0, (6, 1.5, 1.4, 1.5)), (0, (8, 2.5)), (0, (3, 1, 1, 1, 1, 1)))

_SETTINGS: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "hatch.linewidth": 0.5,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",  # text stays text
}


@dataclass(frozen=True)
class Figure:
    """A plot written to files: what it is called, what it shows, where it lies."""

    name: str
    title: str
    caption: str
    svg: Path
    png: Path


@dataclass(frozen=True)
class Drawing:
    """A plot before it is written."""

    name: str
    title: str
    caption: str
    figure: Canvas


class Look(NamedTuple):
    """How a series is drawn: colour is never the only cue."""

    colour: str
    marker: str
    dashes: Any


@contextmanager
def page() -> Iterator[None]:
    """Matplotlib set to this style, whatever the user's own settings, and set back behind it."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(height: float, width: float = WIDTH) -> Canvas:
    """An empty figure, inches."""
    figure = Canvas(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def settle(figure: Canvas) -> None:
    """Lay the figure out once and for all, so that what is measured now stays true."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def write(drawing: Drawing, folder: Path) -> Figure:
    """Write NAME.svg and NAME.png; the same drawing gives the same bytes."""
    svg, png = folder / f"{drawing.name}.svg", folder / f"{drawing.name}.png"
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": f"ner-lab {drawing.name}"}):
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        if drawing.figure.get_layout_engine() is not None:
            settle(drawing.figure)
        drawing.figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None, "Title": drawing.title})
        drawing.figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None, "Title": drawing.title})
    return Figure(drawing.name, drawing.title, drawing.caption, svg, png)


def looks(names: Sequence[str], factors: Sequence[Sequence[str]] = ()) -> dict[str, Look]:
    """A look for each name. With two factors (the level of each name) colour tells the first, marker the second."""
    if len(factors) < 2 or any(len(set(levels)) > len(COLOURS) for levels in factors[:2]):
        many = len(COLOURS)
        return {
            name: Look(COLOURS[at % many], MARKERS[(at + at // many) % len(MARKERS)], DASHES[at // many % len(DASHES)])
            for at, name in enumerate(names)
        }
    first, second = (list(dict.fromkeys(levels)) for levels in factors[:2])
    by_levels = {
        (one, two): Look(COLOURS[i], MARKERS[j], DASHES[j % len(DASHES)])
        for (i, one), (j, two) in product(enumerate(first), enumerate(second))
    }
    return {name: by_levels[one, two] for name, one, two in zip(names, *factors[:2], strict=True)}


def wrapped(text: str, width: int) -> str:
    """Lines of at most `width` letters, broken behind blanks, commas and slashes, within words where nothing else is."""
    lines = [""]
    for piece in re.findall(r"[^\s,/]*[\s,/]+|[^\s,/]+", text.strip()):
        for at in range(0, len(piece), width):
            part = piece[at : at + width]
            if len(lines[-1]) + len(part.rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.strip() for line in lines if line.strip())


def per_cent_axis(axis: Any, ticks: int = 6) -> None:
    """Round, few numbers on an axis of F1 or of differences."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))


def room_for(values: Sequence[float], share: float = 0.06, least: float = 0.5) -> tuple[float, float]:
    """Limits that hold `values` with some room on both sides, at least `least` in all."""
    low, high = min(values), max(values)
    margin = max(share * (high - low), (least - (high - low)) / 2, 0.02 * least)
    return low - margin, high + margin


def grid(axes: Axes, axis: str) -> None:
    """Faint lines across, of axis "x" or "y"."""
    axes.grid(True, axis=axis)  # type: ignore[arg-type]
    axes.tick_params(axis=axis, length=2.5)  # type: ignore[arg-type]


def time_unit(seconds: float) -> tuple[float, str]:
    """Seconds in the unit in which so long a time is told, and its name."""
    return (1.0, "s") if seconds < 180 else (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")


def in_short(number: float) -> str:
    """1200 -> `1.2k`, 3400000 -> `3.4M`"""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def short_numbers(axis: Any) -> None:
    """Numbers as `in_short` writes them, on a linear or a logarithmic axis."""
    axis.set_major_formatter(FuncFormatter(lambda number, _: in_short(number)))


def counted(number: int, thing: str) -> str:
    """`1 seed`, `3 seeds`"""
    return f"{number:,} {thing}{'s' * (number != 1)}"
