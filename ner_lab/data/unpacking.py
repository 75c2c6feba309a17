"""Archives, unpacked with an end: one that is made to fill memory or disk is stopped."""

import io
from pathlib import Path
from typing import IO, Any

from ner_lab.errors import UserError

_TIMES = 100  # text and numbers become 2 to 5 times as large; deflate can do 1,032
_SMALL = 256 << 20  # bytes that do no harm, however few they were


def bounded(unpacked: Any, archive: Path) -> IO[bytes]:
    """The bytes that come out of `archive`; UserError when they are more than any honest archive of its size holds.

    unpacked: a readable file over them.
    """
    return io.BufferedReader(_Counted(unpacked, archive), 1 << 16)


class _Counted(io.RawIOBase):
    def __init__(self, unpacked: Any, archive: Path) -> None:
        self._unpacked = unpacked
        self._archive = archive
        self._packed = archive.stat().st_size
        self._left = max(_SMALL, _TIMES * self._packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._unpacked.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise UserError(
                f"{self._archive}: {self._packed:,} bytes that unpack to more than {_TIMES} times as many, as no "
                "corpus and no vectors do. Is it from where you think? If so, unpack it yourself and give the file."
            )
        buffer[: len(block)] = block
        return len(block)
