"""File formats of word vectors: text with and without a header, word2vec's binary, packed or not."""

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, cast

import numpy as np

from ner_lab.data.fetch import find_member
from ner_lab.errors import UserError
from ner_lab.word_embedding.blocks import Block

Rows = tuple[list[str], np.ndarray]
_TOGETHER = 4096  # vectors of a binary file in a block


@contextmanager
def open_vectors(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a plain, .gz or .zip file. `member` names the file within a zip that holds several."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                yield cast(IO[bytes], file)
        elif path.suffix == ".zip" or zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(_choose(archive, member, path)) as unpacked:
                yield unpacked
        else:
            with path.open("rb", buffering=1 << 20) as plain:
                yield plain
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: the archive is damaged ({error}). Fetch it again.") from None


def read_text(path: Path, wanted: set[str] | None, member: str | None = None) -> Rows:
    """`word number number ...` a line; a first line of two whole numbers is word2vec's header.

    Words may hold blanks (GloVe 840B has such): the last `dim` fields are the vector. Of a word
    that stands twice the first is taken.
    """
    wanted_bytes = None if wanted is None else {word.encode() for word in wanted}
    with open_vectors(path, member) as file:
        return _read_lines(file, wanted_bytes, path)


def _read_lines(file: Iterable[bytes], wanted: set[bytes] | None, path: Path) -> Rows:
    dim = dim_line = promised = number = 0
    found: dict[bytes, bytes] = {}
    lines: list[int] = []
    for number, line in enumerate(file, 1):
        row = line.rstrip().replace(b"\t", b" ")
        word, _, rest = row.partition(b" ")
        if number == 1 and word.isdigit() and rest.isdigit():
            promised = int(word)
            continue
        fields = rest.count(b" ") + 1 if rest else 0
        if not dim:
            dim, dim_line = fields, number
            if dim < 2:
                raise UserError(f"{path}:{number}: expected a word and its vector, got {line[:60]!r}.")
        if fields < dim:
            raise UserError(f"{path}:{number}: {fields} numbers, line {dim_line} has {dim}. Is the file whole?")
        if fields > dim:
            word, *numbers_of_it = row.rsplit(b" ", dim)
            rest = b" ".join(numbers_of_it)
        if (wanted is None or word in wanted) and word not in found:
            found[word] = rest
            lines.append(number)
    if not dim:
        raise UserError(f"{path}: no vector in it.")
    if number - 1 < promised:
        raise UserError(f"{path}: {number - 1:,} vectors, line 1 promises {promised:,}. Is the file whole?")
    try:
        numbers = np.array(b" ".join(found.values()).split(), dtype=np.float32)
        sound = len(numbers) == len(found) * dim and bool(np.isfinite(numbers).all())
    except ValueError:
        sound = False
    if not sound:
        raise UserError(_first_bad(path, found, lines, dim))
    words = [_decode(word, path, line) for word, line in zip(found, lines, strict=True)]
    return words, numbers.reshape(len(found), dim)


def read_word2vec_binary(path: Path, wanted: set[str] | None, member: str | None = None) -> Rows:
    """word2vec's own binary format: a header `words dim`, then each word, a blank and dim float32."""
    found: dict[str, np.ndarray] = {}
    with open_vectors(path, member) as file:
        number, dim = _binary_header(file, path)
        for word, vector in _binary_rows(file, path, number, dim):
            if (wanted is None or word in wanted) and word not in found:
                found[word] = vector
    matrix = np.stack(list(found.values())).astype(np.float32) if found else np.zeros((0, dim), dtype=np.float32)
    return list(found), matrix


def binary_blocks(file: IO[bytes], path: Path) -> Iterator[Block]:
    """All of a file in word2vec's binary format, some thousand words at a time."""
    rows = _binary_rows(file, path, *_binary_header(file, path))
    while block := list(islice(rows, _TOGETHER)):
        yield [word.encode() for word, _ in block], np.stack([vector for _, vector in block]).astype(np.float32)


def _binary_header(file: IO[bytes], path: Path) -> tuple[int, int]:
    header = file.readline(100).split()
    if len(header) != 2 or not all(part.isdigit() for part in header):
        raise UserError(f"{path}: not word2vec's binary format: it begins with {b' '.join(header)[:40]!r}.")
    number, dim = map(int, header)
    return number, dim


def _binary_rows(file: IO[bytes], path: Path, number: int, dim: int) -> Iterator[tuple[str, np.ndarray]]:
    for row in range(number):
        word = _binary_word(file, path, row)
        raw = file.read(4 * dim)
        if len(raw) < 4 * dim:
            raise UserError(f"{path}: ends in vector {row + 1:,} of {number:,}. Is the file whole?")
        yield word, np.frombuffer(raw, dtype="<f4")
    while file.read(1 << 20):  # to the end, where an archive has its sum
        pass


def read_any(path: Path, wanted: set[str] | None, member: str | None = None) -> Rows:
    """Text or word2vec's binary."""
    return (read_word2vec_binary if is_binary(path, member) else read_text)(path, wanted, member)


def is_binary(path: Path, member: str | None = None) -> bool:
    """Whether a file is in word2vec's binary format, as told by the bytes behind the first word."""
    with open_vectors(path, member) as file:
        head = file.read(4096)
    first, _, rest = head.partition(b"\n")
    has_header = len(first.split()) == 2 and all(part.isdigit() for part in first.split())
    return has_header and any(byte < 9 or 13 < byte < 32 for byte in rest)


def _binary_word(file: IO[bytes], path: Path, row: int) -> str:
    letters = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte or len(letters) > 2000:
            raise UserError(f"{path}: word {row + 1:,} has no end. Is this word2vec's binary format?")
        if byte != b"\n":
            letters += byte
    return letters.decode("utf-8", errors="replace")


def _decode(word: bytes, path: Path, line: int) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path}:{line}: {word!r} is not UTF-8.") from None


def _first_bad(path: Path, found: dict[bytes, bytes], lines: list[int], dim: int) -> str:
    for (word, rest), line in zip(found.items(), lines, strict=True):
        fields = rest.split()
        reason = "" if len(fields) == dim else f"{len(fields)} numbers between {dim - 1} blanks"
        try:
            if not np.isfinite(np.array(fields, dtype=np.float32)).all():
                reason = "a number is not finite"
        except ValueError as error:
            reason = str(error)
        if reason:
            return f"{path}:{line}: the vector of {word.decode(errors='replace')!r} is damaged: {reason}."
    raise AssertionError("every vector is sound")


def _choose(archive: zipfile.ZipFile, member: str | None, path: Path) -> str:
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if len(names) == 1:
        return names[0]
    if member is None:
        raise UserError(f"{path}: holds {len(names)} files ({', '.join(names[:8])}); unpack the one you mean.")
    name = find_member(archive, member)
    if name is None:
        raise UserError(f"{path}: no '{member}' in it; it holds {', '.join(names[:8])}.")
    return name
