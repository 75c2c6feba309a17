"""An input of bytes, cut into chunks that end where a sentence does."""

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
_LONG = 2**17  # bytes of an input that are worth several processes: a second's work
_PATIENCE = 0.1  # seconds that what has come waits for more
_ENDLESS = 2**23  # bytes in which a sentence must have ended
_AHEAD = 2**20  # bytes looked at to recognise a format


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole sentences of an input."""

    content: bytes
    before: int
    """Lines before it"""
    read: int
    """Bytes of the input up to its end"""
    head: Any = None
    """What the input's first lines settle for all of it"""
    lacks: str = ""
    """Of an empty chunk: what would end the sentence that begins behind it, which is too long to be read"""

    def lines(self, name: str) -> Iterator[str]:
        """Its lines, without their ends. Bytes that are no text are an error, which comes behind the lines before."""
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


class Feed:
    """Takes chunks from an input as they are asked for.

    Chunks grow from small ones, for a quick start, to large ones. Of what somebody types, or a program
    writes bit by bit, each chunk is what has come by then.
    """

    def __init__(self, source: BinaryIO) -> None:
        self.ended = False
        self.size: int | None = None
        """Bytes of a file"""
        self._source = source
        self._place = _place_of(source)
        if self._place is not None and stat.S_ISREG((status := os.fstat(self._place)).st_mode):
            self.size, self._place = status.st_size, None  # a file never makes one wait
        self._blocks = False
        self._head_of: Callable[[Chunk], Any] | None = None
        self._head: Any = None
        self._next, self._largest = _SMALLEST, _LARGEST
        self._held = bytearray()
        self._since: float | None = None  # when the first byte held came
        self._full = False  # whether the last chunk had all the bytes wanted
        self._lines = self._taken = 0

    def cut(self, *, blocks: bool, head: Callable[[Chunk], Any] | None = None, parts: int = 1) -> None:
        """How to cut, once that is known.

        blocks: a sentence ends at an empty line, not at the end of each line.
        head: what the first chunk, or the first that says so, settles for all of them.
        parts: of a file, at least so many chunks, if they are not small: none of the processes that
            work on it shall be left alone with a long one.
        """
        self._blocks = blocks
        self._head_of = head
        if self.size is not None:
            self._next = self._largest = max(_SMALLEST, min(_LARGEST, self.size // parts + 1))

    @property
    def is_long(self) -> bool:
        """Whether there is much to do: a large file, or a stream of which much came at once."""
        if self.size is not None:
            return self.size >= _LONG
        return self._full and self._taken >= _LONG

    def look_ahead(self, number: int) -> list[str]:
        """Up to `number` of the first lines, which stay to be read."""
        while not self.ended and self._held.count(b"\n") < number and len(self._held) < _AHEAD:
            self._read(_SMALLEST)
        text = bytes(self._held).removeprefix(_BYTE_ORDER_MARK).decode(errors="replace")
        return _lines(text)[:number]

    def take(self, others: Sequence[Connection] = ()) -> Chunk | None:
        """The next chunk; None at the input's end, and where one of `others` has something to say before it comes."""
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
            self._since = None  # not a whole sentence: it takes what it takes
            wanted = min(max(wanted, 2 * len(self._held)), _ENDLESS)

    def _is_due(self, others: Sequence[Connection]) -> bool:
        """Whether what is held has waited long enough, and nothing more has come meanwhile."""
        if self._place is None or self._since is None or not self._border():
            return False
        left = self._since + _PATIENCE - time.monotonic()
        return self._place not in wait([self._place], max(0.0, left))

    def _comes_first(self, others: Sequence[Connection]) -> bool:
        """Whether input comes before anything from `others`."""
        return self._place is None or not others or self._place in wait([self._place, *others])

    def _read(self, most: int) -> None:
        found = self._source.read1(most) if hasattr(self._source, "read1") else self._source.read(most)
        self.ended = not found
        self._held += found
        if self._since is None:
            self._since = time.monotonic()

    def _border(self) -> int:
        """Where the last whole sentence held ends; 0 where there is none."""
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
    """The number of the open file behind it; None where there is none, as for bytes in memory."""
    try:
        return source.fileno()
    except (AttributeError, OSError):
        return None


def _lines(text: str) -> list[str]:
    """Lines without their ends, the last of which may be missing."""
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
