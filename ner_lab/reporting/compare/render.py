"""Writes a comparison as a file: a self-contained page, Markdown, or JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ner_lab.errors import invalid_value
from ner_lab.io.atomic import write_atomic
from ner_lab.reporting.compare.comparison import Comparison, Example
from ner_lab.reporting.compare.document import Section, Table, marked, sections_of, written
from ner_lab.reporting.compare.run_pairs import Side

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def as_page(found: Comparison, show: int) -> str:
    """HTML with embedded style."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["written"] = written
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(found=found, sections=sections_of(found, show))


def as_markdown(found: Comparison, show: int) -> str:
    """Markdown; sentences are code, so nothing in them is parsed as markup."""
    return "\n".join(block for section in sections_of(found, show) for block in _markdown(section))


def _markdown(section: Section) -> list[str]:
    blocks = [f"## {section.title}\n", *(f"{_escaped(line)}\n" for line in section.text)]
    if section.table is not None:
        blocks.append(_markdown_table(section.table))
    for sentence in section.examples:
        lines = [f"    {name:<6}{' '.join(map(marked, parts))}" for name, parts in sentence.lines.items()]
        blocks.append("\n".join([f"{sentence.title}\n", *lines, ""]))
    return blocks


def _markdown_table(table: Table) -> str:
    lines = [table.header, ["---", *("---:" for _ in table.header[1:])]]
    lines += [[written(value) for value in row] for row in table.rows]
    return "".join(f"| {' | '.join(map(_escaped, line))} |\n" for line in lines)


def _escaped(text: str) -> str:
    for letter in "\\`*_<>[]|":
        text = text.replace(letter, f"\\{letter}")
    return text


def as_json(found: Comparison, show: int) -> str:
    """All figures, and sentences with their entities as `[type, start, end]`, end exclusive."""
    pair = found.pair
    content = {
        "split": pair.split,
        **{side.name.lower(): _side(side) for side in (pair.a, pair.b)},
        "notes": pair.notes,
        "settings": _by_side(found.settings),
        "scores": _by_side(found.scores),
        "f1_by_seed": [dict(zip("ab", row, strict=True)) for row in found.by_seed],
        "test": asdict(found.test),
        "mistakes": _by_side(found.mistakes),
        "entities": found.entities,
        "sentences": found.sentences,
        "better_a": [_example(example) for example in found.better_a[:show]],
        "better_b": [_example(example) for example in found.better_b[:show]],
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


FORMATS: dict[str, Callable[[Comparison, int], str]] = {".html": as_page, ".md": as_markdown, ".json": as_json}


def check_ending(path: Path) -> None:
    """Refuse a file whose extension is not a known format."""
    if path.suffix not in FORMATS:
        raise invalid_value("output", str(path), f"a file name that ends in {', '.join(FORMATS)}")


def write(found: Comparison, path: Path, show: int) -> None:
    """Write the comparison in the format of the file's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, FORMATS[path.suffix](found, show))
