"""Atomic file writes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_MODE = 0o666  # minus the process's umask


@contextmanager
def whole_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a new file `path` for writing; it appears, complete, only if the block succeeds.

    It is written to a temporary file in the same folder, flushed to the disk and renamed, so readers see the old file
    or the new one, even after a crash. If the block or the disk fails, the old file stays and nothing else is left.
    mode: `w` (UTF-8, line ends as written) or `wb`.
    """
    target = Path(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".draft")
    except OSError as error:
        error.filename = str(target)  # the name the user knows
        raise
    try:
        with os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, _MODE & ~_umask())
        os.replace(draft, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(draft)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, draft):
            error.filename = str(target)
        raise
    sync_folder(target.parent)


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file atomically; text as UTF-8."""
    with whole_file(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the file system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    """The umask of the process; the system has no call that only reads it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
