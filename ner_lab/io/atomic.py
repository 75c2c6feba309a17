"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_MODE = 0o666  # less what the process's umask takes away


@contextmanager
def whole_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a new file `path` that is there, with all that was written, only when the block has ended well.

    It is written beside its place, flushed to the disk, and renamed: whoever looks, and whatever the
    machine does meanwhile, sees the old file or the new one. Where the block or the disk fails, the old
    file stays and nothing else is left. mode: `w` (UTF-8, line ends as written) or `wb`.
    """
    target = Path(path)
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".draft")
    except OSError as error:
        error.filename = str(target)  # what the user knows of
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


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file whole or not at all; text as UTF-8."""
    with whole_file(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Have the disk know the names in a folder, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    """The process's; the system has no call that only looks."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
