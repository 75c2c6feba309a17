"""Input and output formats of prediction: plain text, tokens, columns, JSON lines; all are streamed."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import PurePath
from typing import Any

from ner_lab.data.readers.column_diagnosis import HEAD, is_a_comment_line, is_tag, looks_like_comment
from ner_lab.data.readers.conll import (
    ColumnFormat,
    LineError,
    Shape,
    diagnosed,
    first_of_running_numbers,
    sentences_of,
    shape_of,
)
from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import Span, spans_of
from ner_lab.data.tokenization import Token, sentences_in, tokenize
from ner_lab.errors import UserError, shown

STANDARD_INPUT = "standard input"
"""What messages call it"""
_SHAPES = 'Expected {"tokens": ["...", ...]} or {"text": "..."} on each line.'
_PARTS_COLUMNS = re.compile(r"[ \t\r\n\0]")
"""What a word of a column file cannot hold; it is written as `_`, so that columns stay columns."""
_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class InputSentence:
    """A sentence to tag. If it comes from plain text, it has the positions of its words."""

    words: list[str]
    tokens: list[Token] | None = None
    """With places in `text`"""
    text: str = ""
    """The text from the end of the sentence before to the end of this one"""
    closes: bool = True
    """Whether it ends its paragraph"""
    record: dict[str, Any] | None = None
    """The JSON object it was read from, all of which is written again; an empty one for a blank line"""


class NumberedLines:
    """Numbered lines of an input.

    before: number of lines before them; head: what the input's first lines determined (`InputFormat.head`).
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


def _read_text(text: NumberedLines) -> Iterator[InputSentence]:
    for line in text:
        yield from _paragraph(line.rstrip("\r\n"))


def _paragraph(line: str) -> Iterator[InputSentence]:
    sentences = list(sentences_in(line))
    if not sentences:
        yield InputSentence([], [], line)
    done = 0
    for number, sentence in enumerate(sentences, 1):
        last = number == len(sentences)
        end = len(line) if last else sentence[-1].end
        tokens = [Token(token.text, token.start - done, token.end - done) for token in sentence]
        yield InputSentence([token.text for token in sentence], tokens, line[done:end], closes=last)
        done = end


def _read_tokens(text: NumberedLines) -> Iterator[InputSentence]:
    for line in text:
        yield InputSentence(line.split())


def _read_columns(text: NumberedLines, columns: ColumnFormat, lone_words: bool) -> Iterator[InputSentence]:
    begin = text.line + 1
    if lone_words and text.head is not None and text.head.width == 1:
        columns = replace(columns, word=0)
    for sentence in sentences_of(_no_comments(text), columns, text.name, begin=begin, shape=text.head):
        yield InputSentence(sentence.words)


def _no_comments(text: NumberedLines) -> Iterator[str]:
    """The same lines; UserError at a comment line, which may have as many cells as a word's line."""
    shape: Shape | None = text.head
    begins = True
    for line in text:
        if begins and line.startswith("#") and line.strip("# \t\r"):
            cells = line.rstrip().split("\t" if shape is not None and shape.separator == "tab" else None)
            if (shape is not None and len(cells) != shape.width) or looks_like_comment(line, cells):
                remove = f"grep -v '{'^#.*=' if '=' in line else '^#'}' {_file_of(text.name)} > NEW"
                raise UserError(f"{text.name}:{text.line}: {is_a_comment_line(line.rstrip(), remove)}")
        begins = not line or line.isspace()
        yield line


def _head_of_columns(text: NumberedLines, columns: ColumnFormat, lone_words: bool) -> Shape | None:
    """The shape of the file; UserError if its first lines show that its words cannot be read from that column."""
    before = text.line
    lines: list[str] = []
    sentences: list[Sentence] = []
    shape = None
    with suppress(UserError):  # undecodable lines: raised again when they are read
        lines.extend(islice(text, HEAD))
    try:
        shape = shape_of(lines, replace(columns, word=0), text.name, before + 1)
        if shape is None:
            return None
        if lone_words and shape.width == 1:
            _check_lone_word(lines[shape.line - before - 1], shape, text.name)
            columns = replace(columns, word=0)
        shape_of(lines, columns, text.name, before + 1)
        for sentence in sentences_of(lines, columns, text.name, begin=before + 1, shape=shape):
            sentences.append(sentence)
    except LineError as error:
        found = diagnosed(error, "\n" * before + "\n".join(lines), columns, _file_of(text.name))
        if found is not None:
            raise UserError(f"{text.name}:{found[0]}: {found[1]}") from None
        if not sentences or shape is None:
            raise
    except UserError:
        return shape  # raised again when the line is read, after the sentences before it
    _check_words(sentences, columns.word % shape.width, shape, text.name)
    return shape


def _check_lone_word(line: str, shape: Shape, name: str) -> None:
    """Refuse columns separated by spaces if the run's own were separated by tabs."""
    if shape.separator != "any" and len(line.split()) > 1:
        raise LineError(
            f"{name}:{shape.line}: one cell, {shown(line.rstrip(), 40)}, where columns are split as in the run's data "
            f"(data.separator={shape.separator}). Set data.separator=any, or data.columns.word=0 if it is one word.",
            shape.line,
        )


def _check_words(sentences: Sequence[Sentence], column: int, shape: Shape, name: str) -> None:
    if shape.width == 1:
        return
    if (counting := first_of_running_numbers(sentences)) is not None:
        raise UserError(
            f"{name}:{counting.line}: column {column} counts the words ({', '.join(counting.words[:3])}, ...) and is "
            f"no column of words. Set data.columns.word to theirs, such as data.columns.word={column + 1}."
        )
    words = [word for sentence in sentences for word in sentence.words]
    if len(words) > 1 and all(map(is_tag, words)):
        raise UserError(
            f"{name}:{sentences[0].line}: column {column} holds tags ({', '.join(words[:3])}, ...) and no words. "
            "Set data.columns.word to the column of the words."
        )


def _file_of(name: str) -> str:
    """An input's file name in a shell command."""
    return "FILE" if name == STANDARD_INPUT else PurePath(name).name


def _read_jsonl(text: NumberedLines) -> Iterator[InputSentence]:
    for line in text:
        if not line.strip():
            yield InputSentence([], record={})
            continue
        where = f"{text.name}:{text.line}"
        try:
            item = json.loads(line)
            if "\\u" in line:  # the only way to write half a surrogate pair
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


def _item(item: Any, where: str) -> InputSentence:
    words = item.get("tokens") if isinstance(item, dict) else None
    text = item.get("text") if isinstance(item, dict) else None
    in_words = isinstance(words, list) and bool(words) and isinstance(words[0], str)
    if isinstance(text, str) and not in_words:  # tokens of other programs, such as numbers or objects, are not words
        tokens = tokenize(text)
        return InputSentence([token.text for token in tokens], tokens, text, record=item)
    if not isinstance(words, list):
        raise UserError(f"{where}: {_SHAPES} It is {shown(_as_json(item))}.")
    for number, word in enumerate(words, 1):
        if not isinstance(word, str) or not word:
            raise UserError(f"{where}: token {number} is {shown(_as_json(word))}, and no word. {_SHAPES}")
    if isinstance(text, str) and (places := _places_of(words, text)) is not None:
        return InputSentence(words, places, text, record=item)
    return InputSentence(words, record=item)


def _places_of(words: Sequence[str], text: str) -> list[Token] | None:
    """Positions of words in their text, separated only by blanks; None if they do not match."""
    tokens, done = [], 0
    for word in words:
        start = text.find(word, done)
        if start < 0 or text[done:start].strip():
            return None
        done = start + len(word)
        tokens.append(Token(word, start, done))
    return tokens if not text[done:].strip() else None


def _write_conll(piece: InputSentence, tags: list[str]) -> str:
    if not piece.words:
        return ""
    words = piece.words
    if _PARTS_COLUMNS.search("".join(words)):
        words = [_PARTS_COLUMNS.sub("_", word) for word in words]
    return "\n".join(map(" ".join, zip(words, tags, strict=True))) + "\n\n"


def _write_jsonl(piece: InputSentence, tags: list[str]) -> str:
    if not piece.words and not piece.record:
        return "" if piece.record is None else "\n"
    entities = []
    for span in spans_of(tags):
        entity: dict[str, Any] = {"type": span.type, "start": span.start, "end": span.end}
        if piece.record is not None and piece.tokens is not None:
            entity |= {"start_char": piece.tokens[span.start].start, "end_char": piece.tokens[span.end - 1].end}
        entities.append(entity | {"text": _covered(piece, span)})
    return _as_json((piece.record or {}) | {"tokens": piece.words, "tags": tags, "entities": entities}) + "\n"


def _covered(piece: InputSentence, span: Span) -> str:
    if piece.tokens is None:
        return " ".join(piece.words[span.start : span.end])
    return piece.text[piece.tokens[span.start].start : piece.tokens[span.end - 1].end]


def _write_text(piece: InputSentence, tags: list[str]) -> str:
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
    """How an input is read, from its beginning or from any sentence boundary."""

    pieces: Callable[[NumberedLines], Iterator[InputSentence]]
    blocks: bool = False
    """Whether sentences end at empty lines, not at the end of each line"""
    head: Callable[[NumberedLines], Any] | None = None
    """What its first lines settle for all of it; None where they say nothing yet"""


def columns_input(columns: ColumnFormat, *, lone_words: bool = False) -> InputFormat:
    """An input format with the words in one column.

    columns: how to read them; the tag column is not read and may be missing.
    lone_words: lines with a single cell are words, whichever column the words have elsewhere.
    """
    columns = replace(columns, tag=None, others={})
    return InputFormat(
        partial(_read_columns, columns=columns, lone_words=lone_words),
        blocks=True,
        head=partial(_head_of_columns, columns=columns, lone_words=lone_words),
    )


INPUT_FORMATS = {
    "text": InputFormat(_read_text),
    "tokens": InputFormat(_read_tokens),
    "conll": columns_input(ColumnFormat()),
    "jsonl": InputFormat(_read_jsonl),
}
OUTPUT_FORMATS: dict[str, Callable[[InputSentence, list[str]], str]] = {
    "conll": _write_conll,
    "jsonl": _write_jsonl,
    "text": _write_text,
}
