"""The readable markup of the built-in corpus: `[PER Tom Ashby] plays for [ORG Harwick Rovers].`

A file is a list of documents. Each begins with a line `# name | kind`; every line after it is one sentence, headline,
table row or list item in plain text with its entities in square brackets. The text is split into words by
`ner_lab.data.tokenization`, like raw text at prediction.
"""

import re
from pathlib import Path

from ner_lab.data.readers.conll import LONGEST_LINE, read_text, too_long
from ner_lab.data.sentence import Sentence, Split
from ner_lab.data.tags import Span, tags_of
from ner_lab.data.tokenization import tokenize
from ner_lab.errors import UserError

_ENTITY = re.compile(r"\[([A-Z]+) ([^\[\]]+)\]")


def read_markup(name: str, path: Path) -> Split:
    """Read a split in markup; its tags are IOB2, its POS and chunk columns `_`."""
    sentences = []
    document = -1
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if len(line) > LONGEST_LINE:
            raise UserError(too_long(line, str(path), number))
        if line.startswith("#"):
            document += 1
        elif line.strip():
            sentences.append(_sentence(line, f"{path}:{number}", document, number))
    if not sentences:
        raise UserError(f"{path}: no sentences. The {name} split needs at least one; check data.{name}.")
    return Split(name, str(path), sentences, "IOB2")


def _sentence(line: str, where: str, document: int, number: int) -> Sentence:
    plain, marked = _split_markup(line.strip(), where)
    tokens = tokenize(plain)
    starts = {token.start: index for index, token in enumerate(tokens)}
    ends = {token.end: index + 1 for index, token in enumerate(tokens)}
    spans = []
    for entity_type, start, end in marked:
        if start not in starts or end not in ends:
            raise UserError(
                f"{where}: the entity '{plain[start:end]}' does not begin and end with a word. "
                f"The words here are: {' '.join(token.text for token in tokens)}"
            )
        spans.append(Span(entity_type, starts[start], ends[end]))
    words = [token.text for token in tokens]
    unknown = ["_"] * len(words)
    columns = {"pos": unknown, "chunk": unknown}
    return Sentence(words, tags_of(spans, len(words), "IOB2"), columns, document, number, lines_a_word=0)


def _split_markup(line: str, where: str) -> tuple[str, list[tuple[str, int, int]]]:
    """Plain text, and (type, start, exclusive end) of its entities, in characters."""
    plain, entities, position = "", [], 0
    for match in _ENTITY.finditer(line):
        plain += line[position : match.start()]
        entities.append((match[1], len(plain), len(plain) + len(match[2])))
        plain += match[2]
        position = match.end()
    plain += line[position:]
    if "[" in plain or "]" in plain:
        raise UserError(f"{where}: unmatched bracket. Entities are written [TYPE words], unnested.")
    return plain, entities
