"""File formats of word vectors: text with and without a header, word2vec's binary format, compressed or not."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ner_lab.errors import UserError, shown
from ner_lab.io.archives import Damaged, find_member, gzip_content, is_zip, zip_member
from ner_lab.io.file_diagnosis import nature_of

log = logging.getLogger(__name__)

Rows = tuple[list[str], np.ndarray]
Block = tuple[list[bytes], np.ndarray]
"""Words as they are in the file, and their vectors (words, dim) float32."""

LONGEST_LINE = 1 << 22
"""Bytes that exceed any line of a vector file."""
_LARGEST_DIM = 99_999  # a larger header value is not a header; memory is allocated as vectors arrive
_NO_LETTERS = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that `is_binary` takes as part of a number."""
_TOGETHER = 1024  # vectors per block


class TextRow(NamedTuple):
    """A line of a text file of vectors: its number from 1, the word, and its `dim` numbers as text."""

    line: int
    word: bytes
    numbers: bytes
    dim: int


@contextmanager
def open_vectors(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """Open a plain, .gz or .zip file as bytes. `member` names the file within a zip that holds several."""
    try:
        if path.suffix == ".gz":
            with gzip_content(path) as file:
                yield file
        elif path.suffix == ".zip" or is_zip(path):
            with zip_member(path, lambda names: _choose(names, member, path)) as file:
                yield file
        else:
            with path.open("rb", buffering=1 << 20) as file:
                yield file
    except Damaged as error:
        raise UserError(f"{path}: the archive is damaged ({error}). {_what_instead(path)}Download it again.") from None


def _what_instead(path: Path) -> str:
    """What a file is instead of the archive that its name suggests."""
    with path.open("rb") as file:
        head = file.read(4096)
    is_archive = head.startswith({".gz": b"\x1f\x8b", ".zip": b"PK"}.get(path.suffix, head))
    nature = None if is_archive else nature_of(head, path.name)
    return f"By its content {nature}. " if nature else ""


def read_text(path: Path, wanted: set[str] | None, member: str | None = None) -> Rows:
    """Read `word number number ...` lines; a first line of two integers is word2vec's header.

    Words may contain blanks (GloVe 840B has some): the last `dim` fields are the vector. If a word occurs twice, its
    first vector is used.
    """
    wanted_bytes = None if wanted is None else {word.encode() for word in wanted}
    with open_vectors(path, member) as file, _text_lines(file, path) as lines:
        found: dict[bytes, TextRow] = {}
        repeated: list[TextRow] = []
        dim = 0
        for row in _text_rows(lines, path):
            dim = row.dim
            if wanted_bytes is None or row.word in wanted_bytes:
                if row.word in found:
                    repeated.append(row)
                else:
                    found[row.word] = row
        if repeated:
            _vectors_of(repeated, path)  # a damaged line is refused even if its vector is not used
        _warn_of_repeated(str(path), len(repeated))
        rows = list(found.values())
        matrix = _vectors_of(rows, path) if rows else np.zeros((0, dim), dtype=np.float32)
        return [_decode(row.word, path, row.line) for row in rows], matrix


def text_blocks(file: IO[bytes], path: Path) -> Iterator[Block]:
    """A complete text file, as `read_text` reads it, about a thousand lines at a time; repeated words are kept."""
    seen: list[np.ndarray] = []
    with _text_lines(file, path) as lines:
        rows = _text_rows(lines, path)
        while block := list(islice(rows, _TOGETHER)):
            words = [row.word for row in block]
            seen.append(np.fromiter(map(hash, words), dtype=np.int64, count=len(words)))
            vectors = _read_quickly(block)
            yield words, _vectors_of(block, path) if vectors is None else vectors
    _warn_of_repeated(str(path), sum(map(len, seen)) - len(np.unique(np.concatenate(seen))))


def _warn_of_repeated(name: str, number: int) -> None:
    if number:
        log.warning(
            "%s: %s %s a word of an earlier line; the first vector is used",
            name,
            f"{number:,}",
            "line repeats" if number == 1 else "lines repeat",
        )


@contextmanager
def _text_lines(file: IO[bytes], path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file. If the first one is not a line of vectors, each UserError says what the file is."""
    lines = _lines_of(file, path)
    first = next(lines, b"")
    nature = nature_of(first, path.name)
    try:
        if nature and not _is_text(first):
            raise UserError(nature)
        yield chain([first] if first else [], lines)
    except UserError:
        if nature:
            raise UserError(f"{path}:1: {nature}") from None
        raise


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _text_rows(lines: Iterable[bytes], path: Path) -> Iterator[TextRow]:
    """The rows of a file; raises UserError if a line has too few fields, or the file fewer rows than its header
    says.
    """
    dim = dim_line = promised = promised_dim = number = 0
    for number, line in enumerate(lines, 1):
        row = line.rstrip().replace(b"\t", b" ")
        word, _, rest = row.partition(b" ")
        if number == 1 and word.isdigit() and rest.isdigit():
            promised, promised_dim = _header(word, rest, path, least=2)
            continue
        fields = rest.count(b" ") + 1 if rest else 0
        if not dim:
            dim, dim_line = fields, number
            if dim < 2:
                raise UserError(
                    f"{path}:{number}: expected a word and its vector, got {shown(line)}. Is this a file of vectors?"
                )
            if promised_dim and promised_dim != dim:
                _check_promise(row, dim, promised_dim, f"{path}:{number}")
                dim = promised_dim
        if fields < dim:
            raise UserError(f"{path}:{number}: {fields} numbers, but line {dim_line} has {dim}. Is the file complete?")
        if fields > dim:
            word, *numbers_of_it = row.rsplit(b" ", dim)
            rest = b" ".join(numbers_of_it)
        yield TextRow(number, word, rest, dim)
    if not dim:
        raise UserError(f"{path}: the file has no vectors. Expected a word and its numbers on each line.")
    if number - 1 < promised:
        raise UserError(f"{path}: {number - 1:,} vectors, but the header declares {promised:,}. Is the file complete?")


def _read_quickly(rows: Sequence[TextRow]) -> np.ndarray | None:
    """The result of `_vectors_of`, a little faster; None for anything unusual."""
    try:
        with np.errstate(over="ignore"):
            numbers = np.loadtxt(
                [row.numbers for row in rows],
                dtype=np.float32,
                delimiter=" ",
                comments=None,
                encoding="ascii",
                ndmin=2,
            )
    except ValueError:
        return None
    return numbers if numbers.shape == (len(rows), rows[0].dim) and np.isfinite(numbers).all() else None


def _vectors_of(rows: Sequence[TextRow], path: Path) -> np.ndarray:
    """-> (rows, dim) float32; raises UserError for an invalid or non-finite number."""
    dim = rows[0].dim
    try:
        with np.errstate(over="ignore"):  # values too large become infinite
            numbers = np.array(b" ".join([row.numbers for row in rows]).split(), dtype=np.float32)
        valid = len(numbers) == len(rows) * dim and bool(np.isfinite(numbers).all())
    except ValueError:
        valid = False
    if not valid:
        raise UserError(_first_bad(path, rows))
    return numbers.reshape(len(rows), dim)


def _check_promise(row: bytes, dim: int, promised: int, where: str) -> None:
    """Raise UserError if a row's dimensions differ from the header's, unless blanks in its word explain it."""
    if dim > promised:
        try:
            float(row.rsplit(b" ", promised)[0].rpartition(b" ")[2])
        except ValueError:
            return
    raise UserError(
        f"{where}: {dim} numbers, but the header declares {promised}. Line 1 gives the number of words and dimensions: "
        "fix it, or download the file again."
    )


def _lines_of(file: IO[bytes], path: Path) -> Iterator[bytes]:
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
        if len(line) == LONGEST_LINE:
            raise UserError(
                f"{path}:{number}: the line has {LONGEST_LINE:,} bytes or more, too many for a vector. Has the file "
                f"lost its line breaks, or is it another kind of file? The line begins with {shown(line, 40)}."
            )
        yield line


def _header(words: bytes, dim: bytes, path: Path, *, least: int) -> tuple[int, int]:
    if len(words) > 15 or len(dim) > len(str(_LARGEST_DIM)) or not least <= int(dim) <= _LARGEST_DIM:
        raise UserError(
            f"{path}:1: the header declares {shown(words)} words in {shown(dim)} dimensions; expected {least} to "
            f"{_LARGEST_DIM:,} dimensions. Is this a file of vectors?"
        )
    return int(words), int(dim)


def read_word2vec_binary(path: Path, wanted: set[str] | None, member: str | None = None) -> Rows:
    """word2vec's own binary format: a header `words dim`, then each word, a blank and dim float32."""
    found: dict[str, np.ndarray] = {}
    with open_vectors(path, member) as file:
        number, dim = _binary_header(file, path)
        for word, vector in _binary_rows(file, path, number, dim):
            if (wanted is None or word in wanted) and word not in found:
                found[word] = vector
    matrix = np.stack(list(found.values())).astype(np.float32) if found else np.zeros((0, dim), dtype=np.float32)
    _check_finite(list(found), matrix, path)
    return list(found), matrix


def binary_blocks(file: IO[bytes], path: Path) -> Iterator[Block]:
    """A complete file in word2vec's binary format, about a thousand words at a time; the first block is empty."""
    number, dim = _binary_header(file, path)
    yield [], np.empty((0, dim), dtype=np.float32)  # a file without words has dimensions, too
    rows = _binary_rows(file, path, number, dim)
    while block := list(islice(rows, _TOGETHER)):
        matrix = np.stack([vector for _, vector in block]).astype(np.float32)
        _check_finite([word for word, _ in block], matrix, path)
        yield [word.encode() for word, _ in block], matrix


def _check_finite(words: list[str], matrix: np.ndarray, path: Path) -> None:
    if not np.isfinite(matrix).all():
        word = words[int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])]
        raise UserError(
            f"{path}: the vector of {shown(word)} has a number that is not finite. Download the file again."
        )


def _binary_header(file: IO[bytes], path: Path) -> tuple[int, int]:
    header = file.readline(100).split()
    if len(header) != 2 or not all(part.isdigit() for part in header):
        raise UserError(
            f"{path}: not word2vec's binary format: it begins with {b' '.join(header)[:40]!r}. "
            "Expected the number of words and the number of dimensions."
        )
    return _header(header[0], header[1], path, least=1)


def _binary_rows(file: IO[bytes], path: Path, number: int, dim: int) -> Iterator[tuple[str, np.ndarray]]:
    for row in range(number):
        word = _binary_word(file, path, row, number)
        raw = file.read(4 * dim)
        if len(raw) < 4 * dim:
            raise UserError(f"{path}: ends within vector {row + 1:,} of {number:,}. Is the file complete?")
        yield word, np.frombuffer(raw, dtype="<f4")
    rest = file.read(1 << 20)
    if rest.strip() and len(rest) < 4 * dim:  # too short for another vector
        raise UserError(
            f"{path}: {len(rest):,} bytes follow the last of {number:,} vectors, so an earlier word contains a "
            "blank. Write the vectors as text, or replace blanks in words by _."
        )
    while file.read(1 << 20):  # to the end, where an archive has its checksum
        pass


def read_any(path: Path, wanted: set[str] | None, member: str | None = None) -> Rows:
    """Read text or word2vec's binary format."""
    return (read_word2vec_binary if is_binary(path, member) else read_text)(path, wanted, member)


def is_binary(path: Path, member: str | None = None) -> bool:
    """Whether a file is in word2vec's binary format, judged by the bytes after the first word."""
    with open_vectors(path, member) as file:
        head = file.read(4096)
    first, _, rest = head.partition(b"\n")
    has_header = len(first.split()) == 2 and all(part.isdigit() for part in first.split())
    return has_header and any(byte < 9 or 13 < byte < 32 for byte in rest)


def _binary_word(file: IO[bytes], path: Path, row: int, number: int) -> str:
    letters = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte:
            raise UserError(f"{path}: ends before vector {row + 1:,} of {number:,}. Is the file complete?")
        if len(letters) > 2000:
            raise UserError(f"{path}: word {row + 1:,} has no end. Is this word2vec's binary format?")
        if byte != b"\n":
            letters += byte
    if _NO_LETTERS.search(letters):
        raise UserError(
            f"{path}: word {row + 1:,} of {number:,} is {shown(bytes(letters), 40)}, not a word. An earlier word may "
            "contain a blank, which ends words in this format: write the vectors as text, or replace blanks by _."
        )
    return letters.decode("utf-8", errors="replace")


def _decode(word: bytes, path: Path, line: int) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise UserError(
            f"{path}:{line}: {shown(word)} is not UTF-8. Convert the file first, "
            f"for instance: iconv -f latin1 -t utf-8 {path.name}"
        ) from None


def _first_bad(path: Path, rows: Sequence[TextRow]) -> str:
    for line, word, text, dim in rows:
        fields = text.split()
        reason = "" if len(fields) == dim else f"{len(fields)} numbers between {dim - 1} blanks"
        try:
            with np.errstate(over="ignore"):
                numbers = np.array(fields, dtype=np.float32)
            if not np.isfinite(numbers).all():
                reason = "a number is not finite"
        except ValueError as error:
            reason = str(error)
        if reason:
            return (
                f"{path}:{line}: the vector of {shown(word.decode(errors='replace'))} is damaged: {reason[:200]}. "
                "Download the file again, or fix the line."
            )
    raise AssertionError("every vector is valid")


def _choose(names: Sequence[str], member: str | None, path: Path) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise UserError(f"{path}: the archive is empty. Download it again.")
    if any(name.endswith("/data.pkl") for name in names):
        raise UserError(
            f"{path}: this file was written by torch.save. Write its vectors as text, a word and its numbers per line."
        )
    if member is None:
        raise UserError(
            f"{path}: the archive has {len(names)} files ({', '.join(names[:8])}). Unpack the one you mean."
        )
    name = find_member(names, member)
    if name is None:
        raise UserError(
            f"{path}: no '{member}' in the archive, which has {', '.join(names[:8])}. Unpack the one you mean."
        )
    return name
