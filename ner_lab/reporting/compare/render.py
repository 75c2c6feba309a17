"""Writes a comparison as a file: a self-contained page, Markdown, or JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ner_lab.errors import invalid_value
from ner_lab.io.atomic import write_atomic
from ner_lab.reporting.compare.comparison import Comparison, Example
from ner_lab.reporting.compare.run_pairs import Side
from ner_lab.reporting.compare.sections import comparison_document
from ner_lab.reporting.render_html import page
from ner_lab.reporting.render_markdown import markdown


def as_json(comparison: Comparison, show: int) -> str:
    """All figures, and sentences with their entities as `[type, start, end]`, end exclusive."""
    pair = comparison.pair
    content = {
        "split": pair.split,
        **{side.name.lower(): _side(side) for side in (pair.a, pair.b)},
        "notes": pair.notes,
        "settings": _by_side(comparison.settings),
        "scores": _by_side(comparison.scores),
        "f1_by_seed": [dict(zip("ab", row, strict=True)) for row in comparison.by_seed],
        "test": asdict(comparison.test),
        "mistakes": _by_side(comparison.mistakes),
        "entities": comparison.entities,
        "sentences": comparison.sentences,
        "better_a": [_example(example) for example in comparison.better_a[:show]],
        "better_b": [_example(example) for example in comparison.better_b[:show]],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _side(side: Side) -> dict[str, Any]:
    return {"folder": str(side.folder), "runs": [{"folder": str(run.folder), "seed": run.seed} for run in side.runs]}


def _by_side(rows: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    return {name: dict(zip("ab", values, strict=True)) for name, values in rows.items()}


def _example(example: Example) -> dict[str, Any]:
    return {
        "sentence": example.number,
        "right": dict(zip("ab", example.right, strict=True)),
        "seed": example.seed,
        "words": example.a.words,
        "gold": example.a.gold,
        "a": example.a.predicted,
        "b": example.b.predicted,
    }


FORMATS: dict[str, Callable[[Comparison, int], str]] = {
    ".html": lambda comparison, show: page(comparison_document(comparison, show)),
    ".md": lambda comparison, show: markdown(comparison_document(comparison, show), Path()),
    ".json": as_json,
}


def check_ending(path: Path) -> None:
    """Refuse a file whose extension is not a known format."""
    if path.suffix not in FORMATS:
        raise invalid_value("output", str(path), f"a file name that ends in {', '.join(FORMATS)}")


def write(comparison: Comparison, path: Path, show: int) -> None:
    """Write the comparison in the format of the file's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, FORMATS[path.suffix](comparison, show))
