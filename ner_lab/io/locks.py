"""Advisory file locks (`flock`): released by the system when the process that holds them ends in any way."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, waiting for it: one process, and one thread in it, at a time.

    shared: several may hold it at once, but not beside an exclusive lock.
    """
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed, without waiting; False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path, *, shared: bool = False) -> bool:
    """Whether a process holds the lock file `path` now; `shared`: also count a lock that others may share."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as file:  # a pipe of that name would block
            fcntl.flock(file, (fcntl.LOCK_EX if shared else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # usually: no such file
        return False
    return False
