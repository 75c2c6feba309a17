"""The output of tagging: standard output, a device, or a file written atomically."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ner_lab.errors import UserError
from ner_lab.io.atomic import sync_folder
from ner_lab.io.locks import try_lock
from ner_lab.io.os_errors import explain_os_error, is_disk_error

log = logging.getLogger(__name__)


@contextmanager
def output_file(name: str) -> Iterator[IO[str]]:
    """Open the file `name` for writing. Until the output is complete it is named `NAME.part`, and the old file stays.

    On an error, the partial output stays there, and the message says so. A device or a pipe is written to directly.
    """
    path = Path(name).expanduser()
    if not path.parent.is_dir():
        raise UserError(f"output={name}: there is no folder {path.parent}.")
    if path.is_dir():
        raise UserError(f"output={name}: is a folder. Give a file, or - for standard output.")
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as out:
            yield out
        return
    path = path.resolve()  # keep a link and replace the file it points to
    part = path.with_name(f"{path.name}.part")
    with part.open("a", encoding="utf-8") as out:
        _take(out, part, name)
        try:
            yield out
            out.flush()
            os.fsync(out.fileno())
            part.replace(path)
        except BaseException as error:
            with suppress(OSError):
                out.close()
            _tell(error, part)
            raise
    sync_folder(path.parent)


def _take(out: IO[str], part: Path, name: str) -> None:
    """Lock and truncate the file; UserError if another process writes to it."""
    try:
        mine = try_lock(out) and os.path.samestat(os.fstat(out.fileno()), part.stat())  # not another file of that name
    except FileNotFoundError:
        mine = False
    if not mine:
        raise UserError(f"output={name}: another process writes {part}. Wait for it, or give another file.")
    out.truncate(0)


def _tell(error: BaseException, part: Path) -> None:
    """Add to the error where the partial output is."""
    try:
        if not part.stat().st_size:
            part.unlink()
            return
    except FileNotFoundError:
        return
    left = f"What was tagged so far is in {part}."
    if isinstance(error, OSError) and error.filename is None and is_disk_error(error):
        error.filename = str(part)
    if isinstance(error, UserError):
        raise UserError(f"{error} {left}") from error.__cause__
    if isinstance(error, OSError) and (words := explain_os_error(error)) is not None:
        raise UserError(f"{words} {left}") from error
    log.warning("%s", left)
