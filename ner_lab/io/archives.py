"""Unpack archives within bounds: one made to fill memory or disk is stopped, a damaged one is reported as damaged."""

import errno
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ner_lab.errors import UserError

_TIMES = 100  # text and numbers expand 2 to 5 times; deflate can reach 1,032
_SMALL = 256 << 20  # bytes that are harmless at any ratio
_MOST = 64 << 30  # bytes: ten times the largest public vectors
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python unpacks the others in pieces of unbounded size


class Damaged(Exception):
    """An archive that cannot be unpacked; the message gives the reason, in the words of Python's unpackers."""


@contextmanager
def zip_member(archive: Path, choose: Callable[[Sequence[str]], str]) -> Iterator[IO[bytes]]:
    """Open one file of a zip archive for reading; if two have the same path, the first.

    choose: returns the path of the file, given the paths of all files. Raises UserError for an archive that is not
    read, and Damaged, here or while the bytes are read.
    """
    with _told():
        opened = zipfile.ZipFile(archive)
    with opened:
        files: dict[str, zipfile.ZipInfo] = {}
        for info in opened.infolist():
            if not info.filename.endswith("/"):  # a folder
                files.setdefault(info.filename, info)
        chosen = files[choose(list(files))]
        if chosen.flag_bits & 1 or chosen.compress_type not in _METHODS:
            how = "with a password" if chosen.flag_bits & 1 else f"by method {chosen.compress_type}"
            raise UserError(f"{archive}: {chosen.filename} is packed {how}. Unpack it with another program.")
        if chosen.file_size > _limit(archive):
            raise _too_large(archive)
        with _told():
            member = opened.open(chosen)
        with member:
            yield bounded(member, archive)


@contextmanager
def gzip_content(archive: Path) -> Iterator[IO[bytes]]:
    """Open the content of a gzip file; raises Damaged while the bytes are read."""
    if not archive.stat().st_size:  # Python takes it for a valid, empty one
        raise Damaged("it is empty")
    with gzip.open(archive) as packed:
        yield bounded(packed, archive)


def find_member(names: Sequence[str], name: str) -> str | None:
    """The path of the file called `name` in any folder of an archive."""
    return next((path for path in names if PurePosixPath(path).name == name), None)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, judged by its content."""
    with _told():
        return zipfile.is_zipfile(path)


def bounded(unpacked: Any, archive: Path) -> IO[bytes]:
    """The unpacked bytes of `archive`; UserError if there are more than a genuine archive of its size holds.

    unpacked: a readable file of these bytes. A defect of the archive is raised as Damaged.
    """
    return io.BufferedReader(_Counted(unpacked, archive), 1 << 16)


class _Counted(io.RawIOBase):
    def __init__(self, unpacked: Any, archive: Path) -> None:
        self._unpacked = unpacked
        self._archive = archive
        self._left = _limit(archive)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _told():
            block = self._unpacked.read(len(buffer))
        self._left -= len(block)
        if self._left < 0:
            raise _too_large(self._archive)
        buffer[: len(block)] = block
        return len(block)


def _limit(archive: Path) -> int:
    return min(max(_SMALL, _TIMES * archive.stat().st_size), _MOST)


def _too_large(archive: Path) -> UserError:
    return UserError(
        f"{archive}: {archive.stat().st_size:,} bytes that unpack to more than {_limit(archive):,}, too much for a "
        "corpus or vectors. Check its source; if you trust it, unpack it yourself and give the file."
    )


@contextmanager
def _told() -> Iterator[None]:
    """Convert whatever Python's unpackers raise for a damaged archive to Damaged; keep our own code out of this block.

    They document a few exceptions and raise many: for an offset outside the file, a name that is not UTF-8, numbers no
    struct holds.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # from the disk, not the content
            raise
        raise Damaged(str(error)) from None
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
        *(EOFError, ValueError, RuntimeError, LookupError, OverflowError),
    ) as error:
        raise Damaged(str(error)) from None
