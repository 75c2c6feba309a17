"""Text in and out of prediction: running text, tokens, columns, JSON lines; read and written as a stream."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from ner_lab.data.conll import ColumnFormat, sentences_of, shape_of
from ner_lab.data.tokens import Token, sentences_in, tokenize
from ner_lab.errors import UserError, shown
from ner_lab.tags import Span, spans_of

LOOK_AHEAD = 50  # lines that tell a format
_WORDS = ColumnFormat(tag=None)
_SHAPES = 'Expected {"tokens": ["...", ...]} or {"text": "..."} on each line.'
_PARTS_COLUMNS = re.compile(r"[ \t\r\n\0]")
"""What a word of a column file cannot hold; it is written as `_`, so that columns stay columns."""
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence to tag. What came from running text knows its places in it."""

    words: list[str]
    tokens: list[Token] | None = None
    """With places in `text`"""
    text: str = ""
    """The text from the end of the sentence before to the end of this one"""
    closes: bool = True
    """Whether it ends its paragraph"""


class Text:
    """Lines of an input, counted.

    before: how many come before them; head: what the input's first lines settled (`InputFormat.head`).
    """

    def __init__(self, lines: Iterable[str], name: str, before: int = 0, head: Any = None) -> None:
        self.name = name
        self.line = before
        self.head = head
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.line += 1
            yield line


def recognise(name: str, lines: Sequence[str]) -> str:
    """An input's format, by its name's ending, else by its first lines."""
    by_name = {
        **dict.fromkeys((".conll", ".iob", ".iob2", ".bio", ".tsv", ".conll2003"), "conll"),
        **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
        ".tok": "tokens",
    }
    if found := by_name.get(PurePath(name).suffix):
        return found
    filled = [line for line in lines if line.strip()]
    if filled and filled[0].lstrip().startswith("{"):
        return "jsonl"
    widths = {len(line.split()) for line in filled}
    in_a_row = any(line.strip() and after.strip() for line, after in pairwise(lines))  # else they are paragraphs
    in_columns = in_a_row and len(widths) == 1 and (widths == {1} or len(filled) < len(lines))
    return "conll" if in_columns else "text"


def _read_text(text: Text) -> Iterator[Piece]:
    for line in text:
        yield from _paragraph(line.rstrip("\r\n"))


def _paragraph(line: str) -> Iterator[Piece]:
    sentences = list(sentences_in(line))
    if not sentences:
        yield Piece([], [], line)
    done = 0
    for number, sentence in enumerate(sentences, 1):
        last = number == len(sentences)
        end = len(line) if last else sentence[-1].end
        tokens = [Token(token.text, token.start - done, token.end - done) for token in sentence]
        yield Piece([token.text for token in sentence], tokens, line[done:end], closes=last)
        done = end


def _read_tokens(text: Text) -> Iterator[Piece]:
    for line in text:
        yield Piece(line.split())


def _read_conll(text: Text) -> Iterator[Piece]:
    for sentence in sentences_of(text, _WORDS, text.name, begin=text.line + 1, shape=text.head):
        yield Piece(sentence.words)


def _head_of_conll(text: Text) -> Any:
    return shape_of(text, _WORDS, text.name, text.line + 1)


def _read_jsonl(text: Text) -> Iterator[Piece]:
    for line in text:
        if not line.strip():
            continue
        where = f"{text.name}:{text.line}"
        try:
            item = json.loads(line)
            if "\\u" in line:  # the one way to write half a character
                _as_json(item).encode()
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not JSON ({error.msg}, column {error.colno}). {_SHAPES} It is {shown(line)}."
            ) from None
        except UnicodeEncodeError as error:
            half = shown(error.object[error.start])
            raise UserError(f"{where}: {half} is half a character. Write both halves, or the whole.") from None
        except (RecursionError, ValueError) as error:
            raise UserError(f"{where}: cannot be read ({error}). {_SHAPES} It is {shown(line)}.") from None
        yield _item(item, where)


def _item(item: Any, where: str) -> Piece:
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        tokens = tokenize(item["text"])
        return Piece([token.text for token in tokens], tokens, item["text"])
    words = item.get("tokens") if isinstance(item, dict) else None
    if not isinstance(words, list):
        raise UserError(f"{where}: {_SHAPES} It is {shown(_as_json(item))}.")
    for number, word in enumerate(words, 1):
        if not isinstance(word, str) or not word:
            raise UserError(f"{where}: token {number} is {shown(_as_json(word))}, and no word. {_SHAPES}")
    return Piece(words)


def _write_conll(piece: Piece, tags: list[str]) -> str:
    if not piece.words:
        return ""
    words = piece.words
    if _PARTS_COLUMNS.search("".join(words)):
        words = [_PARTS_COLUMNS.sub("_", word) for word in words]
    return "\n".join(map(" ".join, zip(words, tags, strict=True))) + "\n\n"


def _write_jsonl(piece: Piece, tags: list[str]) -> str:
    if not piece.words:
        return ""
    entities = []
    for span in spans_of(tags):
        entity: dict[str, Any] = {"type": span.type, "start": span.start, "end": span.end}
        entities.append(entity | {"text": _covered(piece, span)})
    return _as_json({"tokens": piece.words, "tags": tags, "entities": entities}) + "\n"


def _covered(piece: Piece, span: Span) -> str:
    if piece.tokens is None:
        return " ".join(piece.words[span.start : span.end])
    return piece.text[piece.tokens[span.start].start : piece.tokens[span.end - 1].end]


def _write_text(piece: Piece, tags: list[str]) -> str:
    if piece.tokens is None:
        words = list(piece.words)
        for span in spans_of(tags):
            words[span.start] = f"[{span.type} {words[span.start]}"
            words[span.end - 1] += "]"
        return " ".join(words).replace("\n", " ") + "\n"
    marked, done = "", 0
    for span in spans_of(tags):
        begin, end = piece.tokens[span.start].start, piece.tokens[span.end - 1].end
        marked += f"{piece.text[done:begin]}[{span.type} {piece.text[begin:end]}]"
        done = end
    return marked + piece.text[done:] + ("\n" if piece.closes else "")


@dataclass(frozen=True, slots=True)
class InputFormat:
    """How an input is read, from its beginning or from any border between sentences."""

    pieces: Callable[[Text], Iterator[Piece]]
    blocks: bool = False
    """Whether sentences end at empty lines, not at the end of each line"""
    head: Callable[[Text], Any] | None = None
    """What its first lines settle for all of it; None where they say nothing yet"""


INPUT_FORMATS = {
    "text": InputFormat(_read_text),
    "tokens": InputFormat(_read_tokens),
    "conll": InputFormat(_read_conll, blocks=True, head=_head_of_conll),
    "jsonl": InputFormat(_read_jsonl),
}
OUTPUT_FORMATS: dict[str, Callable[[Piece, list[str]], str]] = {
    "conll": _write_conll,
    "jsonl": _write_jsonl,
    "text": _write_text,
}
