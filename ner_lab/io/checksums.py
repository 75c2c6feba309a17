"""Folders that are there whole or not at all, and know by their sums when a file of theirs has changed."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from ner_lab.io.atomic import sync_folder, write_whole

log = logging.getLogger(__name__)

SUMS = "sums.json"
_BLOCK, _ACROSS = 1 << 20, 256  # bytes; words of 8 bytes in a row
_Read = TypeVar("_Read")


class Damaged(ValueError):
    """A file is not as it was written; the message says which."""


@contextmanager
def sealed_folder(place: Path) -> Iterator[Path]:
    """Give a new folder to write files into, which stands at `place`, with their sums, when the block has ended well.

    All of it is on the disk before it gets its name. Who calls holds a lock that is `place`'s own.
    """
    draft = place.with_name(f"{place.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # a process may have been killed
    try:
        draft.mkdir()
        yield draft
        sums = {}
        for path in sorted(draft.iterdir()):
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            sums[path.name] = sum_of(path)
        write_whole(draft / SUMS, json.dumps(sums, indent=2) + "\n")
        draft.rename(place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_sealed(
    place: Path, names: Collection[str], read: Callable[[Path], _Read], *, held: bool = False
) -> _Read | None:
    """What `read` gives of the sealed folder at `place`; None where there is none, or one that is damaged.

    names: of its files. held: the caller holds the lock of `place`; a damaged folder is then named and removed.
    """
    if not place.exists():
        return None
    try:
        check_sums(place, names)
        return read(place)
    except (OSError, Damaged) as error:
        if held:
            log.warning("%s is damaged (%s); it is made anew", place, error)
            shutil.rmtree(place, ignore_errors=True)
        return None


def check_sums(folder: Path, names: Collection[str]) -> None:
    """Raise Damaged or OSError where a file of a sealed folder is not as it was written, or not to be read."""
    try:
        sums = json.loads((folder / SUMS).read_bytes())
    except ValueError:
        sums = None
    if not isinstance(sums, dict) or sums.keys() != set(names):
        raise Damaged(f"{SUMS} is not as it was written")
    for name in names:
        if sums[name] != sum_of(folder / name):
            raise Damaged(f"{name} has not the sum that {SUMS} tells")


def sum_of(path: Path) -> str:
    """A sum of a file's content, worked out nearly as fast as the file is read.

    The 8-byte words of a block stand in rows; hashed is what each row and each column adds up to. No change
    of up to three words in a block can leave all of these as they were, and of others only one in 2^64 and
    rarer; what fills no row is hashed itself. The file is read, not mapped, so that a disk that cannot
    read it is an error and not the end of the process.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK))
    length = 0
    with path.open("rb") as file:
        while size := file.readinto(block):
            words = size // 8 // _ACROSS * _ACROSS
            grid = np.frombuffer(block, "<u8", words).reshape(-1, _ACROSS)
            digest.update(grid.sum(axis=0))
            digest.update(grid.sum(axis=1))
            digest.update(block[8 * words : size])
            length += size
    digest.update(length.to_bytes(8, "little"))
    return digest.hexdigest()
