"""The document that `ner-lab report` and `ner-lab compare` build, and that the three renderers write.

Text between backticks is code, except in a `Literal`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ner_lab.reporting.cells import Table

if TYPE_CHECKING:  # matplotlib is slow to import
    from ner_lab.reporting.plots.style import Figure


class Literal(str):
    """Text in which a backtick is only a character, such as a path."""

    __slots__ = ()


class Part(NamedTuple):
    """Words of a sentence: an entity of a type, right or wrong (gold: neither), or the words between entities."""

    text: str
    type: str = ""
    right: bool | None = None


@dataclass(frozen=True)
class ExampleSentence:
    """A sentence in several versions. lines: name of a version, such as "gold" -> its parts."""

    title: str
    lines: Mapping[str, Sequence[Part]]


@dataclass(frozen=True)
class Section:
    """A section: sentences of text, tables, notes, plots, example sentences; each is optional."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    figures: Sequence["Figure"] = ()
    examples: Sequence[ExampleSentence] = ()


@dataclass(frozen=True)
class Document:
    """A title, a subtitle (may be empty), introductory sentences, notes and sections."""

    title: str
    subtitle: str
    text: Sequence[str]
    notes: Sequence[str]
    sections: Sequence[Section]


def code_in(text: str) -> list[tuple[str, bool]]:
    """Split a sentence into pieces (text, is code) at backticks; a single backtick is literal."""
    pieces = [text] if isinstance(text, Literal) else text.split("`")
    return [(piece, index % 2 == 1) for index, piece in enumerate(pieces)] if len(pieces) % 2 else [(text, False)]


def marked(part: Part) -> str:
    """`[PER Anna Holm]`"""
    return f"[{part.type} {part.text}]" if part.type else part.text
