"""Splits a byte input into chunks at sentence boundaries."""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any, BinaryIO

from ner_lab.errors import UserError
from ner_lab.io.file_diagnosis import no_text

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EMPTY_LINE = re.compile(rb"\n[ \t\r]*\n")
_SMALLEST, _LARGEST = 2**15, 2**19  # bytes of a chunk: large ones group sentences by length better
_LONG = 2**17  # bytes of an input worth several processes: about one second of work
_PATIENCE = 0.1  # seconds that received input waits for more
_ENDLESS = 2**23  # maximum bytes of a sentence
_AHEAD = 2**20  # bytes inspected to recognise a format


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of complete sentences."""

    content: bytes
    before: int
    """Lines before it"""
    read: int
    """Bytes of the input up to its end"""
    head: Any = None
    """What the input's first lines settle for all of it"""
    lacks: str = ""
    """For an empty chunk: the error about the sentence after it, which is too long to be read"""

    def lines(self, name: str) -> Iterator[str]:
        """Lines without their ends. Undecodable bytes raise an error after the lines before them."""
        if self.lacks:
            raise UserError(
                f"{name}:{self.before + 1}: no {self.lacks} in {_ENDLESS:,} bytes from here on, so what is to be one "
                "sentence has no end. Break the text up, or say what it is with input_format."
            )
        text, wrong = "", self.content.find(0)
        try:
            text = self.content.decode()
        except UnicodeDecodeError as error:
            wrong = error.start if wrong < 0 else min(wrong, error.start)
        if wrong >= 0:
            whole = self.content[: self.content.rfind(b"\n", 0, wrong) + 1]
            yield from whole.decode().split("\n")[:-1]
            raise UserError(no_text(self.content, wrong, name, self.before))
        yield from _lines(text)


class ChunkReader:
    """Reads chunks from an input on demand.

    Chunks grow from small, for a quick start, to large. For interactive input, or a program that writes
    slowly, each chunk is what has arrived so far.
    """

    def __init__(self, source: BinaryIO) -> None:
        self.ended = False
        self.size: int | None = None
        """Bytes of a file"""
        self._source = source
        self._place = _place_of(source)
        if self._place is not None and stat.S_ISREG((status := os.fstat(self._place)).st_mode):
            self.size, self._place = status.st_size, None  # a file never blocks
        self._blocks = False
        self._head_of: Callable[[Chunk], Any] | None = None
        self._head: Any = None
        self._next, self._largest = _SMALLEST, _LARGEST
        self._held = bytearray()
        self._since: float | None = None  # arrival time of the first byte held
        self._full = False  # whether the last chunk had all requested bytes
        self._lines = self._taken = 0

    def cut(self, *, blocks: bool, head: Callable[[Chunk], Any] | None = None, parts: int = 1) -> None:
        """Set how to split, once it is known.

        blocks: a sentence ends at an empty line, not at the end of each line.
        head: called on the first chunks; what one of them determines applies to all.
        parts: for a file, the minimum number of chunks, unless they are small, so that no process is left
            alone with a long one.
        """
        self._blocks = blocks
        self._head_of = head
        if self.size is not None:
            self._next = self._largest = max(_SMALLEST, min(_LARGEST, self.size // parts + 1))

    @property
    def is_long(self) -> bool:
        """Whether there is much to do: a large file, or a stream with much data at once."""
        if self.size is not None:
            return self.size >= _LONG
        return self._full and self._taken >= _LONG

    def look_ahead(self, number: int) -> list[str]:
        """Read ahead up to `number` of the first lines without consuming them."""
        while not self.ended and self._held.count(b"\n") < number and len(self._held) < _AHEAD:
            self._read(_SMALLEST)
        text = bytes(self._held).removeprefix(_BYTE_ORDER_MARK).decode(errors="replace")
        return _lines(text)[:number]

    def take(self, others: Sequence[Connection] = ()) -> Chunk | None:
        """The next chunk; None at the end of the input, or if one of `others` is ready before it comes."""
        wanted = self._next
        while True:
            while not self.ended and len(self._held) < wanted:
                if self._is_due(others):
                    break
                if not self._comes_first(others):
                    return None
                self._read(wanted - len(self._held))
            end = len(self._held) if self.ended else self._border()
            if not end and len(self._held) >= _ENDLESS:
                self.ended = True
                return Chunk(b"", self._lines, self._taken, self._head, "empty line" if self._blocks else "line break")
            if end or self.ended:
                return self._cut(end, full=len(self._held) >= wanted)
            self._since = None  # not a complete sentence: wait for the rest
            wanted = min(max(wanted, 2 * len(self._held)), _ENDLESS)

    def _is_due(self, others: Sequence[Connection]) -> bool:
        """Whether held input has waited long enough without more arriving."""
        if self._place is None or self._since is None or not self._border():
            return False
        left = self._since + _PATIENCE - time.monotonic()
        return self._place not in wait([self._place], max(0.0, left))

    def _comes_first(self, others: Sequence[Connection]) -> bool:
        """Whether input arrives before data from `others`."""
        return self._place is None or not others or self._place in wait([self._place, *others])

    def _read(self, most: int) -> None:
        found = self._source.read1(most) if hasattr(self._source, "read1") else self._source.read(most)
        self.ended = not found
        self._held += found
        if self._since is None:
            self._since = time.monotonic()

    def _border(self) -> int:
        """End of the last complete sentence held; 0 if there is none."""
        if not self._blocks:
            return self._held.rfind(b"\n") + 1
        end = max(self._held.rfind(b"\n\n") + 2, self._held.rfind(b"\n\r\n") + 3)
        if end > 2:
            return end
        return max((match.end() for match in _EMPTY_LINE.finditer(self._held)), default=0)

    def _cut(self, end: int, *, full: bool) -> Chunk | None:
        content = bytes(memoryview(self._held)[:end])
        del self._held[:end]
        if not content:
            return None
        if not self._taken:
            content = content.removeprefix(_BYTE_ORDER_MARK)
        before = self._lines
        self._lines += content.count(b"\n")
        self._taken += end
        self._since = time.monotonic() if self._held else None
        self._full = full
        self._next = min(2 * self._next, self._largest) if full else self._next
        chunk = Chunk(content, before, self._taken)
        if self._head is None and self._head_of is not None:
            self._head = self._head_of(chunk)
        return replace(chunk, head=self._head)


def _place_of(source: BinaryIO) -> int | None:
    """The file descriptor of the source; None if there is none, as for bytes in memory."""
    try:
        return source.fileno()
    except (AttributeError, OSError):
        return None


def _lines(text: str) -> list[str]:
    """Lines without their ends; the last end may be missing."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
