"""Write docs/performance.md and its plots from what the scripts of benchmarks/ saved.

python docs/performance.py            write all
"""

import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.ticker

from ner_lab.reporting.plots.style import (
    COLOURS,
    INK,
    MARKERS,
    QUIET,
    Drawing,
    ShortNumbers,
    grid,
    new_figure,
    page,
    wrapped,
    write,
)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
SECTIONS = {
    "train": ("Training on the CPU", ("training", "profile")),
    "crf": ("CRF", ()),
    "predict": ("Prediction", ()),
    "startup": ("Starting up", ()),
    "sweep": ("Sweeps", ()),
    "gpu": ("GPU", ()),
    "memory": ("Memory", ()),
    "growth": ("Growth", ("growth_time", "growth_memory")),
    "ddp": ("Several processes for one model", ("scaling",)),
    "ddp_gpu": ("Several GPUs for one model", ("scaling_gpu",)),
}
"""Script that saves it -> title of its section, its plots"""
NOT_RUN = {
    "gpu": "Not run: no GPU at hand. `python benchmarks/gpu.py` measures it where there is one.",
    "ddp_gpu": "Not run: no GPUs at hand. `python benchmarks/ddp.py --accelerator gpu` measures 1 to 8 of them.",
}
HEAD = """# Performance

What training, prediction and the rest take, against other libraries and against what the machine can do at all.
Every figure below was printed by a script of `benchmarks/`; `make bench` runs those for the CPU one by one and
writes this page, `make bench DATA=FOLDER VECTORS=FILE` on CoNLL-2003 with GloVe. Ours and theirs run in turn on one
machine, and what is told is the median; where a range stands beside it, it is the lowest and the highest run.
"""


def load(results: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """What was saved, by the script's name, in the order of the page; files that no section knows come last."""
    known = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))}
    return {name: known[name] for name in [*SECTIONS, *(set(known) - set(SECTIONS))] if name in known}


def text(saved: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    parts = [HEAD.rstrip()]
    machines = _machines(saved)
    if machines:
        parts += ["", "## Machine", "", *machines]
    goals = [goal for content in saved.values() for goal in content.get("goals", [])]
    if goals:
        parts += ["", "## Goals", "", "| figure | goal | measured | |", "| --- | ---: | ---: | --- |"]
        parts += [
            f"| {goal['what']} | {goal['goal']} | {goal['measured']} | {'reached' if goal['reached'] else 'missed'} |"
            for goal in goals
        ]
    for name in [*SECTIONS, *(name for name in saved if name not in SECTIONS)]:
        title, plots = SECTIONS.get(name, (name, ()))
        parts += ["", f"## {title}", "", *_section(name, saved.get(name), plots)]
    return "\n".join(parts) + "\n"


def _machines(saved: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each machine that was measured on, with the sections measured on it where there are several."""
    lines: dict[str, list[str]] = {}
    for name, content in saved.items():
        lines.setdefault(_machine(content["machine"]), []).append(name)
    if len(lines) == 1:
        return list(lines)
    return [f"- {line} ({', '.join(f'`{name}`' for name in names)})" for line, names in lines.items()]


def _machine(machine: Mapping[str, Any]) -> str:
    parts = [f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"]
    parts += [machine[name] for name in ("instructions", "gpu", "system") if machine.get(name)]
    versions = machine.get("versions", {})
    shown = [f"{name} {versions[name]}" for name in ("python", "torch", "pytorch-lightning") if name in versions]
    return ", ".join(parts) + "; " + ", ".join(shown) + "."


def _section(name: str, content: Mapping[str, Any] | None, plots: Sequence[str]) -> Iterator[str]:
    if content is None:
        yield NOT_RUN.get(name, f"Not run: `python benchmarks/{name}.py` measures it.")
        return
    yield f"`{content['command']}`, {content['date']}{_peers(content['machine'])}"
    for table in content.get("tables", []):
        yield from ("", f"**{table['title']}**", "", *_table(table))
    for plot in plots:
        yield from ("", f"![{plot.replace('_', ' ')}](performance/{plot}.svg)")
    if content.get("notes"):
        yield ""
        yield from (f"- {note}" for note in content["notes"])


def _peers(machine: Mapping[str, Any]) -> str:
    peers = ("flair", "spacy", "pytorch-crf", "torch-struct", "TorchCRF")
    found = [f"{name} {machine['versions'][name]}" for name in peers if name in machine.get("versions", {})]
    return f"; {', '.join(found)}" if found else ""


def _table(table: Mapping[str, Any]) -> Iterator[str]:
    header, rows = table["header"], table["rows"]
    numeric = table.get("numeric") or [False] * len(header)
    yield _row(header)
    yield _row(["---:" if right else "---" for right in numeric])
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def drawings(saved: Mapping[str, Mapping[str, Any]]) -> Iterator[Drawing]:
    """The plots of the scripts whose figures we know."""
    if "train" in saved:
        figures = saved["train"]["figures"]
        yield _training(figures["rates"])
        yield _profile(figures["profile"])
    if "growth" in saved:
        axes = saved["growth"]["figures"]["axes"]
        yield _growth(axes, ("read", "epoch", "step", "crf"), "growth_time", "Time")
        yield _growth(axes, ("memory",), "growth_memory", "Memory")
    for name, plot, unit in (("ddp", "scaling", "processes"), ("ddp_gpu", "scaling_gpu", "GPUs")):
        if name in saved:
            yield _scaling(saved[name]["figures"]["tokens_per_second"], plot, unit)


def _training(rates: Mapping[str, Mapping[str, Sequence[float]]]) -> Drawing:
    """A bar for each library at each batch and number of threads."""
    names = list(dict.fromkeys(name for measured in rates.values() for name in measured))
    figure = new_figure(0.8 + 0.28 * len(rates) * len(names))
    axes = figure.subplots()
    height = 0.8 / len(names)
    longest = max(max(values) for measured in rates.values() for values in measured.values())
    for at, name in enumerate(names):
        for place, measured in enumerate(rates.values()):
            if name not in measured:
                continue
            middle, y = _median(measured[name]), place + (at - (len(names) - 1) / 2) * height
            label = name if place == 0 else None
            axes.barh(y, middle, height=0.9 * height, color=COLOURS[at], label=label)
            axes.plot([min(measured[name]), max(measured[name])], [y, y], color=INK, lw=0.8)
            axes.text(max(measured[name]) + 0.01 * longest, y, f"{middle:,.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rates)), list(rates))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel("tokens a second in training (median; lines: lowest to highest run)")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(ShortNumbers())
    grid(axes, "x")
    figure.legend(loc="outside upper center", ncols=len(names))
    return Drawing("training", "Training", "", figure)


def _profile(shares: Mapping[str, Mapping[str, float]]) -> Drawing:
    """A bar of 100 % at each batch and number of threads."""
    parts = list(dict.fromkeys(part for found in shares.values() for part in found))
    figure = new_figure(1.0 + 0.32 * len(shares))
    axes = figure.subplots()
    colours = [*COLOURS, QUIET, "#F0E442"]  # yellow is too light for lines, and not for bars
    for place, found in enumerate(shares.values()):
        left = 0.0
        for at, part in enumerate(parts):
            width = 100 * found.get(part, 0.0)
            label = part if place == 0 else None
            axes.barh(place, width, left=left, height=0.7, color=colours[at % len(colours)], label=label, ec="white")
            if width >= 5:
                axes.text(
                    left + width / 2, place, f"{width:.0f}", ha="center", va="center", fontsize=7.5, color="white"
                )
            left += width
    axes.set_yticks(range(len(shares)), list(shares))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the time of a training step (%)")
    figure.legend(loc="outside upper center", ncols=min(4, len(parts)))
    return Drawing("profile", "Where the time goes", "", figure)


_FIGURES = {
    "read": "read and encode (s)",
    "epoch": "epoch of training (s)",
    "step": "training step (ms)",
    "crf": "CRF alone (ms)",
    "memory": "memory (MiB)",
}


def _growth(found: Sequence[Mapping[str, Any]], names: Sequence[str], plot: str, title: str) -> Drawing:
    """A panel for each thing that grows, both axes logarithmic; beside each line its exponent."""
    columns = min(3, len(found))
    rows = math.ceil(len(found) / columns)
    figure = new_figure(2.2 * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, one in zip(panels, found, strict=False):
        for at, name in enumerate(_FIGURES):
            points = [(point["size"], point[name]) for point in one["points"] if name in point]
            slope = one["exponents"].get(name)
            if name not in names or slope is None:
                continue
            x, y = zip(*points, strict=True)
            label = f"{_FIGURES[name]}, n^{slope:.2f}"
            axes.plot(x, y, marker=MARKERS[at], color=COLOURS[at], label=label, ms=4)
        axes.set(xscale="log", yscale="log", xlabel=f"n = {one['name']}")
        low, high = axes.get_ylim()
        spare = max(1.0, (20 * low / high) ** 0.5)  # what does not grow shall look flat
        axes.set_ylim(low / spare, high * spare)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(matplotlib.ticker.LogLocator(numticks=6))
            axis.set_major_formatter(ShortNumbers(each_its_own=True))
            axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        grid(axes, "both")
        if axes.lines:
            axes.legend(
                loc="lower left", bbox_to_anchor=(-0.04, 0.98), handlelength=1.4, borderpad=0.1, labelspacing=0.2
            )
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    return Drawing(plot, title, "", figure)


def _scaling(rates: Mapping[str, Mapping[str, float]], plot: str, unit: str) -> Drawing:
    """Speed-up over one device against the global batch."""
    figure = new_figure(2.6, width=5.0)
    axes = figure.subplots()
    names = [name for name in next(iter(rates.values())) if name != "1"]
    for at, name in enumerate(names):
        label = f"one model on {name} {unit}" if name.isdecimal() else wrapped("as many single jobs side by side", 40)
        speed_ups = [measured[name] / measured["1"] for measured in rates.values()]
        axes.plot([int(batch) for batch in rates], speed_ups, marker=MARKERS[at], color=COLOURS[at], label=label)
    axes.axhline(1, color=QUIET, lw=0.8, ls=(0, (4, 2)))
    axes.set(xscale="log", xlabel="global batch (sentences)", ylabel="times as fast as one")
    axes.set_xticks([int(batch) for batch in rates], list(rates))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_ylim(0, None)
    axes.yaxis.set_major_locator(matplotlib.ticker.MultipleLocator(0.5))
    grid(axes, "y")
    axes.legend(loc="best")
    return Drawing(plot, "Scaling", "", figure)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def draw(saved: Mapping[str, Mapping[str, Any]], folder: Path = PLOTS) -> list[str]:
    """Write the plots as SVG -> their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    with page(), tempfile.TemporaryDirectory() as written:
        for drawing in drawings(saved):
            figure = write(drawing, Path(written))
            shutil.copyfile(figure.svg, folder / f"{drawing.name}.svg")
            names.append(drawing.name)
    return names


def main() -> int:
    saved = load()
    draw(saved)
    PAGE.write_text(text(saved), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
