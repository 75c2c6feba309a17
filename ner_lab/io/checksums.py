"""Atomically written folders with checksums."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ner_lab.io.atomic import sync_folder, write_atomic

log = logging.getLogger(__name__)

SUMS = "sums.json"
_Read = TypeVar("_Read")


class Damaged(ValueError):
    """A file differs from what was written; the message names it."""


@contextmanager
def sealed_folder(place: Path) -> Iterator[Path]:
    """Give a new folder to write files into; it is moved to `place`, with its checksums, when the block succeeds.

    Everything is flushed to the disk before the folder gets its name. The caller holds a lock reserved for `place`.
    """
    draft = place.with_name(f"{place.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # left by a killed process
    try:
        draft.mkdir()
        yield draft
        sums = {}
        for path in sorted(draft.iterdir()):
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            sums[path.name] = file_sha256(path)
        write_atomic(draft / SUMS, json.dumps(sums, indent=2) + "\n")
        draft.rename(place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_checked(place: Path, read: Callable[[Path], _Read], *, held: bool = False) -> _Read | None:
    """What `read` returns for the checksummed folder at `place`; None if the folder is missing or damaged.

    held: the caller holds the lock of `place`; a damaged folder is then reported and removed.
    """
    if not place.exists():
        return None
    try:
        check_sums(place)
        return read(place)
    except (OSError, Damaged) as error:
        if held:
            log.warning("%s is damaged (%s); it is created again", place, error)
            shutil.rmtree(place, ignore_errors=True)
        return None


def check_sums(folder: Path) -> None:
    """Raise Damaged or OSError if a file of a checksummed folder differs from what was written, or cannot be read."""
    try:
        sums = json.loads((folder / SUMS).read_bytes())
    except ValueError:
        sums = None
    if not isinstance(sums, dict):
        raise Damaged(f"{SUMS} is not as it was written")
    if differing := sums.keys() ^ ({path.name for path in folder.iterdir()} - {SUMS}):
        raise Damaged(f"{SUMS} and the folder do not have the same files: {', '.join(sorted(differing))}")
    for name, expected in sums.items():
        if expected != file_sha256(folder / name):
            raise Damaged(f"{name} has not the sum that {SUMS} tells")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file. It is read, not mapped, so that a disk error raises OSError instead of ending the process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
