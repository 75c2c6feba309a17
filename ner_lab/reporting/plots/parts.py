"""F1 by entity type, by class of words (in or out of vocabulary), by sentence length and by entity length."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ner_lab.evaluation.error_analysis import by_entity_length, by_sentence_length
from ner_lab.reporting.analysis import Findings, Summary
from ner_lab.reporting.plots.rows import draw_summary, extent, is_baseline, labels_of, looks_of, row_figure, seeds_of
from ner_lab.reporting.plots.style import QUIET, Drawing, few_ticks, wrapped

_ACROSS = 5  # panels side by side
_INTERVALS = "Lines are 95 % bootstrap intervals over seeds."

Parts = Mapping[str, Mapping[str, Summary]]
"""name of a configuration -> part -> F1"""


def by_type(findings: Findings) -> Iterator[Drawing]:
    """A panel for each entity type."""
    yield from _stated(findings, "per_type", "f1_by_type", "F1 by entity type", "of each entity type")


def by_oov(findings: Findings) -> Iterator[Drawing]:
    """A panel for each class of words."""
    about = (
        "of entities whose words are all in the training data and in the file of vectors (IV), or some are not in "
        "train (OOTV), not in the file (OOEV), or neither (OOBV)"
    )
    yield from _stated(findings, "oov", "f1_by_oov", "F1 by what is known of the words", about)


def by_lengths(findings: Findings) -> Iterator[Drawing]:
    """One figure over sentence lengths, one over entity lengths."""
    yield from _counted(findings, by_sentence_length, "f1_by_sentence_length", "F1 by length of sentence", "sentences")
    yield from _counted(findings, by_entity_length, "f1_by_entity_length", "F1 by length of entity", "entities")


def _stated(findings: Findings, kind: str, name: str, title: str, about: str) -> Iterator[Drawing]:
    """Plot partial scores from metrics.json, without parts that have no gold entity."""
    gold: dict[str, int] = {}
    for run in (run for row in findings.rows for run in row.runs):
        for part, scores in (run.metrics.get(findings.split, {}).get(kind) or {}).items():
            gold.setdefault(part, int(scores["gold"]))
    found: dict[str, Mapping[str, Summary]] = {}
    for row in findings.rows:
        parts = getattr(row, kind).get(findings.split) or {}
        if kept := {part: summary for part, summary in parts.items() if gold.get(part)}:
            found[row.name] = kept
    caption = f"{findings.split.capitalize()} F1 {about}."
    yield from _draw(findings, found, {part: number for part, number in gold.items() if number}, name, title, caption)


def _counted(
    findings: Findings, scores_of: Callable[[Any], Mapping[str, Mapping[str, Any]]], name: str, title: str, what: str
) -> Iterator[Drawing]:
    """Plot partial scores computed from the prediction files."""
    found: dict[str, Mapping[str, Summary]] = {}
    gold: dict[str, int] = {}
    for row in findings.rows:
        read = [
            scores_of(predictions) for run in row.runs if (predictions := run.predictions(findings.split)) is not None
        ]
        if not read:
            continue
        gold = gold or {part: scores["gold"] for part, scores in read[0].items() if scores["gold"]}
        found[row.name] = {part: Summary(tuple(run[part]["f1"] for run in read)) for part in gold}
    caption = f"{findings.split.capitalize()} F1 in {what} of so many tokens."
    titles = {part: f"{part} token{'s' * (part != '1')}" for part in gold}
    yield from _draw(findings, found, gold, name, title, caption, titles)


def _draw(
    findings: Findings,
    found: Parts,
    gold: Mapping[str, int],
    name: str,
    title: str,
    caption: str,
    titles: Mapping[str, str] | None = None,
) -> Iterator[Drawing]:
    rows = [row for row in findings.rows if row.name in found]
    if not rows or len(gold) < 2:
        return
    across = min(len(gold), _ACROSS)
    lines = -(-len(gold) // across)
    across = -(-len(gold) // lines)
    figure, panels = row_figure(labels_of(findings, rows, 22), columns=across, lines=lines)
    looks = looks_of(findings, findings.rows)
    limits = same_width({part: [found[row.name][part] for row in rows if part in found[row.name]] for part in gold})
    for axes, (part, number) in zip(panels.flat, gold.items(), strict=False):
        for at, row in enumerate(rows):
            if (summary := found[row.name].get(part)) is None:
                continue
            if is_baseline(findings, row) and len(rows) > 1:
                axes.axvline(summary.mean, color=QUIET, lw=0.8, ls=(0, (2, 2)), zorder=1)
            draw_summary(axes, summary, at, looks[row.name], gid=f"{part} {row.name}")
        axes.set_xlim(*limits[part])
        axes.set_xticks(few_ticks(*limits[part]))
        axes.set_title(f"{wrapped((titles or {}).get(part, part), 16)}\n", fontsize=8.5)
        axes.text(0, 1.01, f"{number:,} gold", transform=axes.transAxes, fontsize=7.5, color=QUIET, va="bottom")
    for axes in panels.flat[len(gold) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(gold) - across) : len(gold)]:
        axes.set_xlabel(f"{findings.split} F1 (%)")
    caption += f" Mean of {seeds_of(rows)}."
    if any(summary.low is not None for parts in found.values() for summary in parts.values()):
        caption += f" {_INTERVALS}"
    if len(gold) > 1:
        caption += " A point of F1 is as wide in every panel; the axes start where the panel's scores do."
    if any(is_baseline(findings, row) for row in rows) and len(rows) > 1:
        caption += " Dotted: the baseline."
    yield Drawing(name, title, caption, figure)


def same_width(parts: Mapping[str, Sequence[Summary]]) -> dict[str, tuple[float, float]]:
    """Limits of each panel, around its own scores and with the same width for all."""
    ends = {part: extent(summaries) or [0.0] for part, summaries in parts.items()}
    width = max(1.0, 1.16 * max(max(values) - min(values) for values in ends.values()))
    limits = {}
    for part, values in ends.items():
        middle = (min(values) + max(values)) / 2
        low = float(np.clip(middle - width / 2, -0.03 * width, max(100 + 0.03 * width - width, -0.03 * width)))
        limits[part] = (low, low + width)
    return limits
