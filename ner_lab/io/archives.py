"""Archives, unpacked with an end: one that is made to fill memory or disk is stopped, a damaged one is told as that."""

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

_TIMES = 100  # text and numbers become 2 to 5 times as large; deflate can do 1,032
_SMALL = 256 << 20  # bytes that do no harm, however few they were
_MOST = 64 << 30  # bytes: ten times the largest public vectors
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Python unpacks the others in pieces without an end


class Damaged(Exception):
    """An archive that cannot be unpacked; the message says why, as Python's unpackers do."""


@contextmanager
def zip_member(archive: Path, choose: Callable[[Sequence[str]], str]) -> Iterator[IO[bytes]]:
    """The bytes of one file within a zip archive; of two files of one path, the first.

    choose: the path of the file there, given those of all files. Raises UserError for what is not read, and, here
    or as the bytes are read, Damaged.
    """
    with _told():
        opened = zipfile.ZipFile(archive)
    with opened:
        files: dict[str, zipfile.ZipInfo] = {}
        for info in opened.infolist():
            if not info.filename.endswith("/"):  # which is a folder
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
    """The bytes that a gzip file holds; Damaged as they are read."""
    if not archive.stat().st_size:  # Python takes it for a sound one that holds nothing
        raise Damaged("it is empty")
    with gzip.open(archive) as packed:
        yield bounded(packed, archive)


def find_member(names: Sequence[str], name: str) -> str | None:
    """The path of the file called `name`, in whatever folder of an archive."""
    return next((path for path in names if PurePosixPath(path).name == name), None)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive by its content."""
    with _told():
        return zipfile.is_zipfile(path)


def bounded(unpacked: Any, archive: Path) -> IO[bytes]:
    """The bytes that come out of `archive`; UserError when they are more than any honest archive of its size holds.

    unpacked: a readable file over them. What is wrong with the archive is raised as Damaged.
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
        f"{archive}: {archive.stat().st_size:,} bytes that unpack to more than {_limit(archive):,}, as those of no "
        "corpus and no vectors do. Is it from where you think? If so, unpack it yourself and give the file."
    )


@contextmanager
def _told() -> Iterator[None]:
    """Whatever Python's unpackers say of a damaged archive, as Damaged; nothing of ours may stand within.

    They declare a few exceptions and raise many: a place outside the file, a name that is no UTF-8, numbers that no
    struct holds.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # of the disk, and not of the content
            raise
        raise Damaged(str(error)) from None
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
        *(EOFError, ValueError, RuntimeError, LookupError, OverflowError),
    ) as error:
        raise Damaged(str(error)) from None
