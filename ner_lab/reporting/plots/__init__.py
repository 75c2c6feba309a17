"""The plots of a report; plots without data are left out."""

from pathlib import Path

from ner_lab.reporting.analysis import Findings
from ner_lab.reporting.plots.cost import cost
from ner_lab.reporting.plots.curves import learning_curves
from ner_lab.reporting.plots.factors import interactions, main_effects
from ner_lab.reporting.plots.mistakes import confusion, kinds
from ner_lab.reporting.plots.parts import by_lengths, by_oov, by_type
from ner_lab.reporting.plots.scores import differences, seeds
from ner_lab.reporting.plots.style import Figure, page, write
from ner_lab.reporting.plots.transitions import transitions

__all__ = ["Figure", "draw"]

PLOTS = (
    seeds,
    differences,
    main_effects,
    interactions,
    learning_curves,
    cost,
    by_type,
    by_oov,
    by_lengths,
    kinds,
    confusion,
    transitions,
)
"""In the order of the report; each gives the drawings that its data allow"""

NAMES = (
    *("seeds", "differences", "main_effects", "interactions", "curves_epochs", "curves_time", "cost"),
    *(
        "f1_by_type",
        "f1_by_oov",
        "f1_by_sentence_length",
        "f1_by_entity_length",
        "mistakes",
        "confusion",
        "transitions",
    ),
)
"""Every name that a plot may have"""


def draw(findings: Findings, folder: Path) -> list[Figure]:
    """Write NAME.svg and NAME.png of every plot into `folder`; plots of an earlier report not drawn now are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with page():
        figures = [write(drawing, folder) for plot in PLOTS for drawing in plot(findings)]
    for name in set(NAMES) - {figure.name for figure in figures}:
        for suffix in (".svg", ".png"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    return figures
