"""Column files: one word per line with its columns, a blank line between sentences.

The format of the CoNLL shared tasks. Reading is strict where a mistake could change a score (column counts, tags,
encoding) and lenient where it cannot (CRLF, byte order mark, trailing blanks, blank lines that hold blanks, a missing
last newline).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from sys import intern
from typing import IO

from ner_lab.data.readers.column_diagnosis import HEAD, Refused, diagnosis, is_tag
from ner_lab.data.readers.recognition import predicted_beside_gold
from ner_lab.data.sentence import DOCSTART, Sentence, Split
from ner_lab.data.tags import SCHEMES, detect_scheme, follows, is_proper, split_tag
from ner_lab.errors import UserError, invalid_value, shown
from ner_lab.io.file_diagnosis import nature_of, no_text, why_no_file

_BLANKS = re.compile(r"[ \t]+")
LONGEST_LINE = 2**20
"""Maximum characters of a line; a longer one means that the input is not text."""
_AT_ONCE = 2**22  # characters split into lines at a time; no valid line is as long
_MANY_LINES = 5000  # lines that are examined to recognise predictions
_SEPARATORS = {"tab": "tabs", "space": "spaces", "any": "spaces or tabs"}


class LineError(UserError):
    """A line that cannot be read as columns: its number, and the cell that is not a tag if that is the reason."""

    def __init__(self, message: str, line: int = 0, tag: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.tag = tag


@dataclass(frozen=True, slots=True)
class ColumnFormat:
    """Which column holds what; columns count from 0, negative ones from the end."""

    word: int = 0
    tag: int | None = -1
    others: Mapping[str, int] = field(default_factory=dict)
    separator: str = "auto"
    """`tab`, `space`, `any`, or `auto`: tab if the first word line has one, else blanks."""
    docstart: str = "drop"
    """`drop` document marks, or `keep` each as a one-word sentence (documents count either way)."""

    def __post_init__(self) -> None:
        if self.separator not in ("auto", *_SEPARATORS):
            raise invalid_value("data.separator", self.separator, "one of auto, tab, space, any")
        if self.docstart not in ("drop", "keep"):
            raise invalid_value("data.docstart", self.docstart, "drop or keep")


def read_text(path: Path) -> str:
    """The complete file as text. Errors name the file and, for bad bytes, the line."""
    if not path.is_file():
        raise UserError(f"{path}: {why_no_file(path)} Expected a text file.")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(no_text(error.object, error.start, str(path))) from None
    if "\0" in text:
        raise UserError(no_text(raw, raw.index(0), str(path)))
    return text


@dataclass(frozen=True, slots=True)
class Shape:
    """What the first word line of a file determines for all that follow."""

    separator: str
    """`tab`, `space` or `any`"""
    width: int
    line: int


def shape_of(lines: Iterable[str], columns: ColumnFormat, source: str, begin: int = 1) -> Shape | None:
    """The shape of a file from its first lines, numbered from `begin`; None if there is no word."""
    for number, line in enumerate(lines, begin):
        if len(line) > LONGEST_LINE:
            raise UserError(too_long(line, source, number))
        text = line.rstrip(" \t\r\n")
        if not text.strip() or (DOCSTART in text and _marks_document(text, columns.word)):
            continue
        separator = columns.separator
        if separator == "auto":
            separator = "tab" if "\t" in text else "any"
        width = len(_cells(text, separator))
        _check_columns(width, columns, source, number, separator)
        return Shape(separator, width, number)
    return None


def sentences_of(
    lines: Iterable[str], columns: ColumnFormat, source: str, *, begin: int = 1, shape: Shape | None = None
) -> Iterator[Sentence]:
    """Read sentences one by one, so that a stream is never completely in memory.

    `columns.tag=None` reads files without tags; every word then gets `O`. For lines from the middle of a file: `begin`
    is the number of the first line, `shape` is that of the file.
    """
    rows: list[list[str]] = []
    proper: set[str] = set()  # valid tags
    start, document = 0, -1
    for number, line in enumerate(lines, begin):
        if len(line) > LONGEST_LINE:
            raise UserError(too_long(line, source, number))
        text = line.rstrip(" \t\r\n")
        is_docstart = DOCSTART in text and _marks_document(text, columns.word)
        empty = not text or text.isspace()
        if rows and (is_docstart or empty):
            yield _sentence(rows, columns, document, start)
            rows = []
        if is_docstart:
            document += 1
            if columns.docstart == "keep":
                yield Sentence([DOCSTART], ["O"], {name: ["_"] for name in columns.others}, document, number)
            continue
        if empty:
            continue
        if shape is None:
            shape = shape_of([text], columns, source, number)
            assert shape is not None
        row = text.split("\t" if shape.separator == "tab" else " ")
        if shape.separator == "any" and (len(row) != shape.width or "\t" in text or "" in row):
            row = _cells(text, "any")  # rows with a single blank between cells skip this
        if len(row) != shape.width:
            raise LineError(
                f"{source}:{number}: {len(row)} {_plural('column', len(row))}, line {shape.line} has {shape.width}. "
                f"Columns are split on {_SEPARATORS[shape.separator]}; fix the line, or set data.separator. "
                f"It is {shown(text)}.",
                number,
            )
        if shape.separator != "any" and not row[columns.word].strip(" "):
            raise UserError(
                f"{source}:{number}: the word in column {columns.word % shape.width} is empty. Columns are split on "
                f"{_SEPARATORS[shape.separator]}; fix the line, or set data.separator. The line is {shown(line)}."
            )
        if columns.tag is not None and (tag := row[columns.tag]) not in proper:
            _check_tag(tag, source, number, columns.tag % shape.width)
            proper.add(tag)
        if not rows:
            start = number
        rows.append(row)
    if rows:
        yield _sentence(rows, columns, document, start)


def read_split(name: str, path: Path, columns: ColumnFormat, scheme: str = "auto") -> Split:
    """Read the split `name` from `path`; `scheme` is the scheme of its tags, or `auto`."""
    text = read_text(path)
    sentences = read_sentences(path, columns, text)
    if not any(sentence.words != [DOCSTART] for sentence in sentences):
        raise UserError(f"{path}: no sentences. The {name} split needs at least one; check data.{name}.")
    _refuse_running_numbers(sentences, text, columns, path)
    if scheme == "auto":
        try:
            scheme = detect_scheme(sentence.tags for sentence in sentences)
        except ValueError as error:
            line = _line_of_mixture(sentences)
            raise UserError(
                f"{path}:{line}: {error}; this is the first tag of the second scheme. "
                "Write all tags in one scheme, or give the right column as data.columns.tag."
            ) from None
        _refuse_unfit_scheme(sentences, scheme, path)
    else:
        _check_stated_scheme(sentences, scheme, path)
    return Split(name, str(path), sentences, scheme, remarks=_remarks_on_predictions(text, columns, path))


def _remarks_on_predictions(text: str, columns: ColumnFormat, path: Path) -> list[str]:
    """Refuse a file `token gold predicted` read by its last column, the default; a remark if that column was set.

    Scores would otherwise be computed on predictions.
    """
    if columns.tag is None:
        return []
    lines = [line.rstrip(" \t\r\n") for line in islice(_lines(text), _MANY_LINES) if DOCSTART not in line]
    separator = columns.separator
    if separator == "auto":
        separator = "tab" if any("\t" in line for line in lines) else "any"
    rows = [_cells(line, separator) for line in lines if line]
    if not rows or (gold := predicted_beside_gold(rows, tag := columns.tag % len(rows[0]))) is None:
        return []
    what = f"{path}: columns {gold} and {tag} both have tags of the same entities, as a file `token gold predicted` has"
    if columns.tag < 0:
        raise UserError(
            f"{what}. Set data.columns.tag={gold} to read the gold tags, data.columns.tag={tag} to read the others; "
            f"`ner-lab score {path}` scores predictions."
        )
    return [f"{what}; the tags are read from column {tag} (data.columns.tag)."]


def read_sentences(path: Path, columns: ColumnFormat, text: str | None = None) -> list[Sentence]:
    """The sentences of a file; `text` is its content, if already read. Errors say what the file is instead."""
    text = read_text(path) if text is None else text
    try:
        return list(sentences_of(_lines(text), columns, str(path)))
    except UserError as error:
        if nature := nature_of(text[:1000].encode(), path.name):
            raise UserError(f"{path}:1: {nature}") from None
        if isinstance(error, LineError) and (found := diagnosed(error, text, columns, path.name)):
            raise UserError(f"{path}:{found[0]}: {found[1]}") from None
        raise


def _lines(text: str) -> Iterator[str]:
    """`text.split("\\n")`, in parts: the lines of a large file take several times its size."""
    begin = 0
    while len(text) - begin > _AT_ONCE and (end := text.rfind("\n", begin, begin + _AT_ONCE)) >= 0:
        yield from text[begin:end].split("\n")
        begin = end + 1
    yield from text[begin:].split("\n")


def too_long(line: str, source: str, number: int) -> str:
    """The message for a line of more than LONGEST_LINE characters."""
    return (
        f"{source}:{number}: the line has {len(line):,} characters, more than {LONGEST_LINE:,}. Has the file lost its "
        f"line breaks, or is it something else than a text? It begins with {shown(line, 40)}."
    )


def write_columns(out: IO[str], rows: Iterable[Sequence[Sequence[str]]]) -> None:
    """Write sentences, each a sequence of columns of equal length, separated by single spaces.

    A blank within a word (possible in tab-separated files) and a tab are written as `_`, so that columns stay columns.
    """
    for columns in rows:
        for cells in zip(*columns, strict=True):
            out.write(" ".join(cell.replace(" ", "_").replace("\t", "_") or "_" for cell in cells) + "\n")
        out.write("\n")


def _marks_document(text: str, word: int) -> bool:
    """Whether a line marks a document. It may have other columns, so the mark may be the first cell or the word."""
    cells = _BLANKS.split(text.strip())
    return DOCSTART in (cells[0], *cells[word:][:1])


def _cells(text: str, separator: str) -> list[str]:
    if separator == "tab":
        return text.split("\t")
    if separator == "space":
        return text.split(" ")
    return _BLANKS.split(text.lstrip(" \t"))


def _sentence(rows: list[list[str]], columns: ColumnFormat, document: int, line: int) -> Sentence:
    cells = list(zip(*rows, strict=True))
    # most words and tags repeat: each string is stored once
    tags = ["O"] * len(rows) if columns.tag is None else list(map(intern, cells[columns.tag]))
    others = {name: list(map(intern, cells[index])) for name, index in columns.others.items()}
    return Sentence(list(map(intern, cells[columns.word])), tags, others, document, line)


def _line_of_mixture(sentences: list[Sentence]) -> int:
    """The line by which tag prefixes of both IOBES and BILOU have been seen."""
    seen: set[str] = set()
    for sentence in sentences:
        for word, tag in enumerate(sentence.tags):
            seen.add(tag[0])
            if seen & set("ES") and seen & set("LU"):
                return sentence.line_of(word)
    raise AssertionError("there is no mixture")


def _check_columns(width: int, columns: ColumnFormat, source: str, line: int, separator: str) -> None:
    wanted = {"word": columns.word, "tag": columns.tag, **columns.others}
    for name, index in wanted.items():
        if index is not None and not -width <= index < width:
            raise LineError(
                f"{source}:{line}: column {index} ({name}) was asked for, but the line has {width} "
                f"{_plural('column', width)}, split on {_SEPARATORS[separator]}. "
                "Set data.columns or data.separator.",
                line,
            )
    if columns.tag is not None and columns.word % width == columns.tag % width:
        raise LineError(
            f"{source}:{line}: {width} {_plural('column', width)}, so word and tag would be the same one. "
            "A tagged file has at least two columns; check data.separator.",
            line,
        )


def _check_tag(tag: str, source: str, line: int, column: int) -> None:
    if is_tag(tag):
        return
    reason = f"{shown(tag)} is not a tag: it holds a blank, a character that cannot be seen, or a second tag"
    try:
        split_tag(tag)
    except ValueError as error:
        reason = str(error)
    raise LineError(
        f"{source}:{line}: {reason}. Tags were read from column {column}; set data.columns.tag if they are elsewhere.",
        line,
        tag,
    )


def _check_stated_scheme(sentences: list[Sentence], scheme: str, path: Path) -> None:
    if scheme not in SCHEMES:
        raise UserError(f"'{scheme}' is not a tag scheme; use one of {', '.join(SCHEMES)}.")
    for sentence in sentences:
        if not is_proper(sentence.tags, scheme):
            line, before, tag = _first_break(sentence, scheme)
            raise UserError(
                f"{path}:{line}: {tag} may not follow {before} in {scheme}. "
                "Fix the tag, or set another data.file_scheme (auto detects it)."
            )


def diagnosed(error: LineError, text: str, columns: ColumnFormat, name: str) -> tuple[int, str] | None:
    """What is wrong with a file, judged by its first lines and the refused one; see `diagnosis`."""
    lines = text.split("\n", max(HEAD, error.line))[: max(HEAD, error.line)]
    lines = [line.rstrip(" \t\r") for line in lines]
    separator = columns.separator
    if separator == "auto":
        separator = "tab" if "\t" in lines[error.line - 1] else "any"
    if error.line > HEAD:  # the lines between add nothing to the first ones
        lines = [line if number < HEAD or number == error.line - 1 else "" for number, line in enumerate(lines)]
    width = len(_cells(lines[error.line - 1], separator))
    refused = Refused(
        name=name,
        lines=["" if DOCSTART in line else line for line in lines],
        number=error.line,
        cells=lambda line: _cells(line, separator),
        word=columns.word,
        column=(columns.tag or 0) % width,
        tag=error.tag,
    )
    return diagnosis(refused)


def _refuse_running_numbers(sentences: Sequence[Sentence], text: str, columns: ColumnFormat, path: Path) -> None:
    """Refuse a file whose "words" only count the tokens, per sentence or through the file."""
    if (counting := first_of_running_numbers(sentences)) is None:
        return
    first = counting.line
    line = text.split("\n", first)[first - 1].rstrip(" \t\r")
    cells = _cells(line, "tab" if "\t" in line else "any")
    word = columns.word % len(cells) + 1
    if columns.tag is None or word >= len(cells) or word == columns.tag % len(cells):
        return  # no other column could hold the words
    tag = next((place for place in range(word + 1, len(cells)) if is_tag(cells[place])), columns.tag)
    raise UserError(
        f"{path}:{first}: column {word - 1} numbers the words ({', '.join(counting.words[:3])}, ...) and is not the "
        f"column of words. If the words are in the next one, set data.columns='{{word: {word}, tag: {tag}}}'."
    )


def first_of_running_numbers(sentences: Sequence[Sentence]) -> Sentence | None:
    """The first sentence of several words, if the "words" of nearly all such sentences only count the tokens."""
    several = [sentence for sentence in sentences if len(sentence.words) > 1]
    counting = sum(map(_counts_up, several))
    if not several or counting < 0.9 * len(several) or sum(len(sentence.words) for sentence in several) < 4:
        return None
    return several[0]


def _counts_up(sentence: Sentence) -> bool:
    """Whether the words are numbers that rise by one: 0, 1, 2 or 7, 8, 9; CoNLL-U also has 3-4 and 8.1 between."""
    if not all(word[0].isdigit() for word in sentence.words):
        return False
    numbers = [int(word) for word in sentence.words if word.isascii() and word.isdecimal()]
    return len(numbers) > 1 and all(after == before + 1 for before, after in pairwise(numbers))


def _refuse_unfit_scheme(sentences: Sequence[Sentence], scheme: str, path: Path) -> None:
    """Refuse IOE1 and IOE2, and a file most of whose entities break the scheme that its tag letters belong to."""
    if scheme not in ("IOBES", "BILOU"):
        return
    with_entities = [sentence for sentence in sentences if set(sentence.tags) != {"O"}]
    wrong = [sentence for sentence in with_entities if not is_proper(sentence.tags, scheme)]
    if 2 * len(wrong) <= len(with_entities):
        return
    letters = {tag[0] for sentence in with_entities for tag in sentence.tags} - {"O"}
    if letters <= {"I", "E"}:
        line, tag = next(
            (sentence.line_of(word), tag)
            for sentence in wrong
            for word, tag in enumerate(sentence.tags)
            if tag.startswith("E")
        )
        raise UserError(
            f"{path}:{line}: {tag} in a file without B- and S- is IOE1 or IOE2, where E- ends an entity. "
            f"These schemes are not supported; write the tags in {', '.join(SCHEMES[:-1])} or {SCHEMES[-1]}."
        )
    line, before, tag = _first_break(wrong[0], scheme)
    raise UserError(
        f"{path}:{line}: {tag} after {before} breaks {scheme}, to which the letters {', '.join(sorted(letters))} "
        f"belong, and so do {len(wrong):,} of {len(with_entities):,} sentences with entities. "
        "Correct the tags, or write them in another scheme."
    )


def _first_break(sentence: Sentence, scheme: str) -> tuple[int, str, str]:
    """Line, previous tag and tag of the first step that breaks the scheme; both ends of a sentence count as O."""
    for place, (before, after) in enumerate(pairwise(["O", *sentence.tags, "O"])):
        if not follows(before, after, scheme):
            return sentence.line_of(min(place, len(sentence.tags) - 1)), before, after
    raise AssertionError("nothing breaks it")


def _plural(word: str, number: int) -> str:
    return word if number == 1 else word + "s"
