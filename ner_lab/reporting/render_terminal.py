"""Renders a document for the terminal: aligned tables, colour if the terminal supports it, no plots."""

from collections.abc import Iterable

from rich.text import Text

from ner_lab.io.terminal import table_text
from ner_lab.reporting.cells import BETTER, WORSE, Cell, Table
from ner_lab.reporting.document import Document, ExampleSentence, Section, code_in, marked

_RIGHT, _WRONG, _GOLD, _FAINT = "green", "red", "cyan", "dim"
_VERDICTS = {BETTER: _RIGHT, WORSE: _WRONG}
_LONGEST_CODE = 50
"""Maximum number of characters of a code cell; the files have all of them."""


def terminal(document: Document) -> Text:
    """The text of a document. Green marks an improvement or a correct entity, red the opposite."""
    lines = [*filter(None, [document.subtitle]), *document.text, *(f"note: {note}" for note in document.notes)]
    head = Text("\n").join([Text(document.title, "bold"), *_sentences(lines)])
    return Text("\n\n").join([head, *map(_section, document.sections)])


def _section(section: Section) -> Text:
    blocks = [Text(section.title, "bold"), *_sentences(section.text)]
    for table in section.tables:
        blocks += [Text(f"  {table.title}")] if table.title else []
        blocks.append(terminal_table(table))
    blocks += [Text(), *_sentences(section.notes)] if section.notes else []
    if section.examples:
        blocks.append(Text("\n\n").join(map(_example, section.examples)))
    return Text("\n").join(blocks)


def _sentences(lines: Iterable[str]) -> list[Text]:
    return [Text("  " + "".join(piece for piece, _ in code_in(line))) for line in lines]


def terminal_table(table: Table) -> Text:
    """Aligned columns under a header and a rule."""
    return table_text(table.header, [[_cell(cell) for cell in row] for row in table.rows], table.numeric)


def _cell(cell: Cell) -> Text:
    text = cell.text
    if cell.code and len(text) > _LONGEST_CODE:
        text = f"{text[: _LONGEST_CODE - 1]}…"
    return Text(text, _VERDICTS.get(cell.verdict, ""))


def _example(sentence: ExampleSentence) -> Text:
    lines = [Text(f"  {sentence.title}", _FAINT)]
    for name, parts in sentence.lines.items():
        colour = {True: _RIGHT, False: _WRONG, None: _GOLD}
        words = [Text(marked(part), colour[part.right] if part.type else "") for part in parts]
        lines.append(Text(f"    {name:<6}").append_text(Text(" ").join(words)))
    return Text("\n").join(lines)
