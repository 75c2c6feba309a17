"""Store vector files after the first read, as one array that is memory-mapped instead of read again.

A file is read completely the first time a data set needs part of it, into `CACHE/read_vectors/KEY/`: `vectors.npy`
(words, dim) float32, `words.txt` in the same order, and the checksums of both. An entry with wrong checksums is
reported, removed and made again. The key depends on the file's content, so a copy elsewhere has the same key.
From then on every run of every process maps the array and reads only the rows it wants. An entry takes 4 bytes per
number (160 MB for 400,000 words of 100 dimensions); it may be deleted at any time.
"""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from ner_lab.data.vectors.formats import (
    Block,
    Rows,
    binary_blocks,
    is_binary,
    open_vectors,
    read_text,
    read_word2vec_binary,
    text_blocks,
)
from ner_lab.errors import UserError
from ner_lab.io.cache import cannot_keep, content_hash, key_of
from ner_lab.io.checksums import read_checked, sealed_folder
from ner_lab.io.locks import locked

log = logging.getLogger(__name__)

_LAYOUT = 3  # version of an entry; raise it when its files change
_VECTORS, _WORDS = "vectors.npy", "words.txt"


def read_stored(
    path: Path, wanted: set[str] | None, cache: Path | None, *, member: str | None = None, any_format: bool = False
) -> Rows:
    """Words of a file (those in `wanted`, or all) and their vectors (words, dim) float32, through the store in `cache`.

    Without `cache`, or if the store cannot be written or a line of a text file is damaged, the file itself is read: a
    damaged line is an error only if its word is wanted. any_format: it may be in word2vec's binary format.
    """
    binary = any_format and is_binary(path, member)
    entry = None if cache is None else _entry(path, cache, member, binary)
    if entry is not None:
        with suppress(UnicodeDecodeError):
            return _rows(*entry, wanted)
    return (read_word2vec_binary if binary else read_text)(path, wanted, member)


def _entry(path: Path, cache: Path, member: str | None, binary: bool) -> tuple[list[bytes], np.ndarray] | None:
    """The entry of a file, made if need be; None if it cannot have one."""
    place = cache / "read_vectors" / key_of(layout=_LAYOUT, content=content_hash(path, cache), of=[member, binary])
    if (found := _found(place)) is not None:
        return found
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with locked(place.with_suffix(".lock")):
            if (found := _found(place, held=True)) is not None:
                return found
            with open_vectors(path, member) as file, sealed_folder(place) as draft:
                _write(draft, binary_blocks(file, path) if binary else text_blocks(file, path))
    except UserError as error:
        if binary:
            raise
        log.debug("%s is not stored: %s", path, error)
        return None
    except OSError as error:
        if error.filename == str(path):
            raise
        cannot_keep(cache, error)
        return None
    log.info("%s was read and cached in %s (%d MB)", path, place, _size(place) >> 20)
    return _found(place)


def _rows(words: list[bytes], vectors: np.ndarray, wanted: set[str] | None) -> Rows:
    """The rows of the wanted words; if a word occurs twice, the first is used."""
    if wanted is None:
        rows = {word.decode(): row for row, word in zip(range(len(words) - 1, -1, -1), reversed(words), strict=True)}
        if len(rows) == len(words):
            return list(reversed(rows)), vectors
        ordered = sorted(rows.values())
        return [words[row].decode() for row in ordered], vectors[ordered]
    letters = {word.encode() for word in wanted}
    found: dict[bytes, int] = {}
    for row, word in enumerate(words):
        if word in letters:
            found.setdefault(word, row)
    return [word.decode() for word in found], vectors[list(found.values())]


def _found(place: Path, *, held: bool = False) -> tuple[list[bytes], np.ndarray] | None:
    """Words and the mapped array; None if there is no entry, or only an incomplete one."""
    return read_checked(place, _read, held=held)


def _read(place: Path) -> tuple[list[bytes], np.ndarray]:
    vectors = np.load(place / _VECTORS, mmap_mode="r", allow_pickle=False)
    return (place / _WORDS).read_bytes().split(b"\n")[:-1], np.asarray(vectors)


def _write(place: Path, blocks: Iterator[Block]) -> None:
    """Write the files of an entry block by block."""
    with (place / _VECTORS).open("wb") as numbers, (place / _WORDS).open("wb") as letters:
        dim = rows = 0
        for words, vectors in blocks:
            if not dim:
                dim = vectors.shape[1]
                _head(numbers, 0, dim)
            numbers.write(np.ascontiguousarray(vectors, dtype="<f4").data)
            letters.write(b"".join(word + b"\n" for word in words))
            rows += len(words)
        numbers.seek(0)
        _head(numbers, rows, dim)


def _head(file: IO[bytes], rows: int, dim: int) -> None:
    """The header of an .npy file; numpy leaves space in it for any number of rows."""
    npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)})


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.iterdir())
