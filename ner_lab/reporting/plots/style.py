"""The style of all plots: colour-blind safe, sized for a page, with reproducible output."""

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import Formatter, MaxNLocator

from ner_lab.io.atomic import whole_file

WIDTH = 7.2  # text width of a page in inches
DPI = 200
INK, QUIET, FAINT = "#1a1a1a", "#6b6b6b", "#dddddd"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Those of Okabe and Ito, told apart by colour-blind eyes; without yellow, which is too light for thin lines."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.6)),
    (0, (1.4, 1.4)),
    (0, (6, 1.5, 1.4, 1.5)),
    (0, (8, 2.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
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
    "text.parse_math": False,  # a dollar sign in a name is literal
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
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
    "svg.fonttype": "none",  # keep text as text
}


@dataclass(frozen=True)
class Figure:
    """A plot written to files: its name, caption and paths."""

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
    """How a series is drawn; colour is never the only cue."""

    colour: str
    marker: str
    dashes: Any


@contextmanager
def page() -> Iterator[None]:
    """Apply this style in Matplotlib, ignoring the user's settings, and restore them afterwards."""
    with style.context(dict(_SETTINGS), after_reset=True):
        yield


def new_figure(height: float, width: float = WIDTH) -> Canvas:
    """An empty figure; sizes in inches."""
    figure = Canvas(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def settle(figure: Canvas) -> None:
    """Fix the layout of the figure, so that later measurements stay valid."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def write(drawing: Drawing, folder: Path) -> Figure:
    """Write NAME.svg and NAME.png; the same drawing gives the same bytes."""
    svg, png = folder / f"{drawing.name}.svg", folder / f"{drawing.name}.png"
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.hashsalt": f"ner-lab {drawing.name}"}):
        warnings.filterwarnings("ignore", message="Glyph")  # the font may lack the script of a name
        if drawing.figure.get_layout_engine() is not None:
            settle(drawing.figure)
        with whole_file(svg, "wb") as file:
            drawing.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Title": drawing.title})
        with whole_file(png, "wb") as file:
            drawing.figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None, "Title": drawing.title})
    return Figure(drawing.name, drawing.title, drawing.caption, svg, png)


def looks(names: Sequence[str], factors: Sequence[Sequence[str]] = ()) -> dict[str, Look]:
    """A style for each name, distinguished by colours with markers, and markers with dashes.

    factors: level of each name; with two or more, colour encodes the first factor, dashes the others combined.
    """
    places = [(levels[0], levels[1:]) for levels in zip(*factors, strict=True)] if len(factors) > 1 else []
    first, second = (list(dict.fromkeys(place[at] for place in places)) for at in (0, 1))
    if not places or len(first) > len(COLOURS) or len(second) > len(DASHES):
        many = len(COLOURS)
        return {
            name: Look(
                COLOURS[at % many], MARKERS[(at % many + at // many) % len(MARKERS)], DASHES[at // many % len(DASHES)]
            )
            for at, name in enumerate(names)
        }
    step = len(second) | 1  # odd, so two levels of the first never share a marker at a level of the second
    by_levels = {
        (one, two): Look(COLOURS[i], MARKERS[(i * step + j) % len(MARKERS)], DASHES[j])
        for (i, one), (j, two) in product(enumerate(first), enumerate(second))
    }
    return {name: by_levels[place] for name, place in zip(names, places, strict=True)}


def wrapped(text: str, width: int) -> str:
    """Wrap to lines of at most `width` characters, after blanks and `,/_`, or within words if there are none."""
    lines = [""]
    for piece in re.findall(r"[^\s,/_]*[\s,/_]+|[^\s,/_]+", text.strip()):
        for at in range(0, len(piece), width):
            part = piece[at : at + width]
            if len(lines[-1]) + len(part.rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return "\n".join(line.strip() for line in lines if line.strip())


def per_cent_axis(axis: Axis, ticks: int = 6) -> None:
    """Use few, round ticks on an axis of F1 or of differences."""
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))


def few_ticks(low: float, high: float) -> list[float]:
    """Three round numbers between the limits, or two if they have decimals, for a panel with little room."""
    for exponent, digit in product(range(3, -6, -1), (5, 2, 1)):
        step = digit * 10.0**exponent
        multiples = range(math.ceil(low / step), math.floor(high / step) + 1)
        if len(multiples) > 1:
            most = 3 if step >= 1 else 2
            stride = -(-(len(multiples) - 1) // (most - 1))
            return [round(multiple * step, 9) for multiple in multiples[::stride]]
    return [low, high]


def room_for(values: Sequence[float], share: float = 0.06, least: float = 0.5) -> tuple[float, float]:
    """Axis limits around `values` with some margin on both sides, spanning at least `least`."""
    low, high = min(values), max(values)
    margin = max(share * (high - low), (least - (high - low)) / 2, 0.02 * least)
    return low - margin, high + margin


def grid(axes: Axes, axis: Literal["x", "y", "both"]) -> None:
    """Draw faint grid lines."""
    axes.grid(True, axis=axis)
    axes.tick_params(axis=axis, length=2.5)


def time_unit(seconds: float) -> tuple[float, str]:
    """The divisor and name of the unit suitable for a duration in seconds."""
    return (1.0, "s") if seconds < 180 else (60.0, "min") if seconds < 3 * 3600 else (3600.0, "h")


class ShortNumbers(Formatter):
    """1200 -> `1.2k`, 3400000 -> `3.4M`: one unit and as many decimals per axis as its ticks need.

    each_its_own: for a logarithmic axis, each number has its own unit.
    """

    def __init__(self, *, each_its_own: bool = False) -> None:
        self._each_its_own = each_its_own

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self.format_ticks([x])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Format the ticks of an axis."""
        if not self._each_its_own:
            return _in_one_unit(values)
        return [text for value in values for text in _in_one_unit([value])]


def _in_one_unit(numbers: Sequence[float]) -> list[str]:
    largest = max(map(abs, numbers), default=0.0)
    size, letter = next(((size, letter) for size, letter in _UNITS if largest >= size), (1.0, ""))
    scaled = [number / size for number in numbers]
    exact = (at for at in range(9) if all(abs(round(one, at) - one) <= 1e-9 * largest / size for one in scaled))
    decimals = next(exact, 9)
    return [f"{one:.{decimals}f}{letter}" if one else "0" for one in scaled]


def counted(number: int, thing: str) -> str:
    """`1 seed`, `3 seeds`"""
    return f"{number:,} {thing}{'s' * (number != 1)}"
