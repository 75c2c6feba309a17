"""A comparison for the terminal: aligned tables, one line per sentence, colour if the terminal supports it."""

from collections.abc import Sequence

from rich.text import Text

from ner_lab.io.terminal import table
from ner_lab.reporting.compare.document import Difference, Section, Sentence, Table, marked, written

_GOOD, _BAD, _NEUTRAL, _FAINT = "green", "red", "cyan", "dim"
_STYLES = {"b": _GOOD, "a": _BAD, "": ""}
_LONGEST = 50
"""Letters of a cell that are shown; files have them all."""


def as_text(sections: Sequence[Section]) -> Text:
    """All sections; B is judged against A, so green marks what B does better, or a correct entity."""
    return Text("\n\n").join(_section(section) for section in sections)


def _section(section: Section) -> Text:
    blocks = [Text(section.title, "bold")]
    if section.text:
        blocks.append(Text("\n".join(f"  {line}" for line in section.text)))
    if section.table is not None:
        blocks.append(_table(section.table))
    if section.examples:
        blocks.append(Text("\n\n").join(_sentence(sentence) for sentence in section.examples))
    return Text("\n").join(blocks)


def _table(content: Table) -> Text:
    cells = [[_short(written(value)) for value in row] for row in content.rows]
    header, rule, *lines = table(content.header, cells).splitlines()
    styled = [Text(header), Text(rule, _FAINT)]
    for line, row, shown in zip(lines, content.rows, cells, strict=True):
        styled.append(Text(line))
        end = 0
        for value, cell in zip(row, shown, strict=True):
            start = line.index(cell, end)
            end = start + len(cell)
            if isinstance(value, Difference):
                styled[-1].stylize(_STYLES[value.verdict], start, end)
    return Text("\n").join(styled)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _sentence(sentence: Sentence) -> Text:
    lines = [Text(f"  {sentence.title}", _FAINT)]
    for name, parts in sentence.lines.items():
        colour = {True: _GOOD, False: _BAD, None: _NEUTRAL}
        words = [Text(marked(part), colour[part.right] if part.type else "") for part in parts]
        lines.append(Text(f"    {name:<6}").append_text(Text(" ").join(words)))
    return Text("\n").join(lines)
