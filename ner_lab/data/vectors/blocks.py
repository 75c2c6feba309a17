"""The whole of a text file of vectors, quickly: blocks of lines, all numbers of a block together.

It reads what is regular, and leaves every doubt to `formats.read_text`, which knows lines and words them.
"""

import logging
from collections.abc import Iterator
from typing import IO

import numpy as np

from ner_lab.data.vectors.decimals import LEAD, decimals

log = logging.getLogger(__name__)

Block = tuple[list[bytes], np.ndarray]
"""Words as they stand in the file, and their vectors (words, dim) float32."""

LONGEST_LINE = 1 << 22
"""Bytes that no line of a file of vectors has."""
_SIZE = 1 << 20  # bytes: what is computed of a block stays within the processor's caches
_BLANK, _BREAK = b" \n"


class Irregular(Exception):
    """Something in the file is damaged or strange: which line, and whether it matters, a careful reader must say."""


def text_blocks(file: IO[bytes]) -> Iterator[Block]:
    """Blocks of the lines of a file, as `formats.read_text` would read them; raises Irregular."""
    dim = promised = lines = 0
    seen: list[np.ndarray] = []
    for number, piece in enumerate(_whole_lines(file)):
        if b"\0" in piece:  # another encoding, perhaps
            raise Irregular
        text = _tidy(piece)
        if number == 0:
            promised, dim, text = _without_header(text)
        if not text:
            continue
        if not lines:
            numbers = text[: text.index(b"\n")].count(b" ")
            if numbers < 2 or (dim and numbers != dim):
                raise Irregular
            dim = numbers
        words, vectors = _read(bytes(LEAD) + text, dim)
        lines += len(words)
        seen.append(np.fromiter(map(hash, words), dtype=np.int64, count=len(words)))
        yield words, vectors
    if not lines or lines < promised:
        raise Irregular
    note_twice(getattr(file, "name", "the file"), lines - len(np.unique(np.concatenate(seen))))


def note_twice(name: str, number: int) -> None:
    """Say how many lines of a file are not taken."""
    if number:
        log.warning(
            "%s: %s %s of a word that an earlier line has; the first is taken",
            name,
            f"{number:,}",
            "line is" if number == 1 else "lines are",
        )


def _read(text: bytes, dim: int) -> Block:
    """The lines behind the lead of a text: the last `dim` fields are the vector, what stands before is the word."""
    letters = np.frombuffer(text, dtype=np.uint8)
    breaks = LEAD + np.flatnonzero(letters[LEAD:] == _BREAK)
    blanks = LEAD + np.flatnonzero(letters[LEAD:] == _BLANK)
    behind = np.searchsorted(blanks, breaks)  # blanks up to each line's end
    if (np.diff(behind, prepend=0) < dim).any():
        raise Irregular
    before = blanks[behind[:, None] + np.arange(-dim, 0)]  # (lines, dim) blanks before the numbers
    ends = np.concatenate([before[:, 1:], breaks[:, None]], axis=1)
    try:
        vectors = decimals(text, before.ravel() + 1, ends.ravel())
    except ValueError:
        raise Irregular from None
    begins = [LEAD, *(breaks[:-1] + 1).tolist()]
    words = [text[begin:end] for begin, end in zip(begins, before[:, 0].tolist(), strict=True)]
    return words, vectors.reshape(-1, dim)


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces that end with a line."""
    rest = b""
    while piece := file.read(_SIZE):
        lines, found, behind = piece.rpartition(b"\n")
        if found:
            yield rest + lines + found
            rest = behind
        else:
            rest += piece
            if len(rest) >= LONGEST_LINE:
                raise Irregular
    if rest:
        yield rest + b"\n"


def _tidy(text: bytes) -> bytes:
    """Blanks for tabs, and lines without the ends that word2vec and Windows give them."""
    for usual, instead in ((b"\t", b" "), (b"\r\n", b"\n"), (b" \n", b"\n")):
        if usual in text:
            text = text.replace(usual, instead)
    return text


def _without_header(text: bytes) -> tuple[int, int, bytes]:
    """Vectors and dimensions that a first line of two whole numbers promises, and what stands behind it."""
    first, _, rest = text.partition(b"\n")
    number, _, dim = first.partition(b" ")
    if not (number.isdigit() and dim.isdigit()):
        return 0, 0, text
    if len(first) > 20 or int(dim) < 2:
        raise Irregular
    return int(number), int(dim), rest
