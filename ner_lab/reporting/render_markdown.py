"""Renders a document as Markdown."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ner_lab.reporting.cells import Cell, Table
from ner_lab.reporting.document import Document, ExampleSentence, Section, code_in, marked


def markdown(document: Document, folder: Path) -> str:
    """The document as Markdown; plots are linked relative to `folder`."""
    blocks = [f"# {_escaped(document.title)}"]
    blocks += map(inline, [*filter(None, [document.subtitle]), *document.text])
    blocks += [_list(document.notes)] if document.notes else []
    for section in document.sections:
        blocks += _section(section, folder)
    return "\n\n".join(blocks) + "\n"


def _section(section: Section, folder: Path) -> list[str]:
    blocks = [f"## {section.title}", *map(inline, section.text)]
    for table in section.tables:
        blocks += [f"**{_escaped(table.title)}**"] if table.title else []
        blocks.append(markdown_table(table))
    blocks += [_list(section.notes)] if section.notes else []
    for figure in section.figures:
        path = Path(os.path.relpath(figure.png, folder)).as_posix()
        blocks += [f"### {_escaped(figure.title)}", f"![{_escaped(figure.title)}]({path})", inline(figure.caption)]
    return blocks + [block for sentence in section.examples for block in _example(sentence)]


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {inline(sentence)}" for sentence in sentences)


def _example(sentence: ExampleSentence) -> tuple[str, str]:
    """Title and sentence; the sentence is code, so nothing in it is parsed as markup."""
    lines = [f"    {name:<6}{' '.join(map(marked, parts))}" for name, parts in sentence.lines.items()]
    return _escaped(sentence.title), "\n".join(lines)


def markdown_table(table: Table) -> str:
    """A table as Markdown, with aligned columns."""
    right = table.numeric
    lines = [[_escaped(head) for head in table.header]]
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(right))]
    rule = [f"{'-' * (width - 1)}:" if is_right else "-" * width for width, is_right in zip(widths, right, strict=True)]
    padded = [
        [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(line, widths, right, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _markdown_cell(cell: Cell) -> str:
    if cell.code and not {"`", "|", "\n"} & set(cell.text):
        return f"`{cell.text}`"
    return f"**{_escaped(cell.text)}**" if cell.strong else _escaped(cell.text)


def _escaped(text: str) -> str:
    """Escape text for Markdown, including tables."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))


def inline(text: str) -> str:
    """Render sentences with code between backticks."""
    return "".join(f"`{piece}`" if code else _escaped_piece(piece) for piece, code in code_in(text))


def _escaped_piece(text: str) -> str:
    return re.sub(r"([\\*_|<>\[\]])", r"\\\1", text)
