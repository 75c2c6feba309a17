"""Explain errors of files, folders and disks, with a next step."""

import errno
import os
import shutil
import sys

_ELSEWHERE = "hydra.run.dir=DIR moves a run, data.cache_dir=DIR or NER_LAB_CACHE the cache"
_DISK = {
    errno.ENOSPC: f"no space left on the disk{{free}}. Free some, or write elsewhere: {_ELSEWHERE}.",
    errno.EDQUOT: f"your quota of disk space is used up. Free some, or write elsewhere: {_ELSEWHERE}.",
    errno.EROFS: f"the disk can only be read. Write elsewhere: {_ELSEWHERE}.",
    errno.EFBIG: f"larger than a file may be there (`ulimit -f`). Raise the limit, or write elsewhere: {_ELSEWHERE}.",
    errno.EIO: "the disk cannot read or write it, and may be failing. See the system's log, and save what matters.",
    errno.ESTALE: "the network's disk has lost it. Start again when it is there.",
}
"""Errors that are never our own fault, even if they name no file."""
_FILE = {
    errno.EACCES: f"permission denied{{owner}}. Have the right given, or choose another place: {_ELSEWHERE}.",
    errno.EPERM: f"the system does not permit it{{owner}}. Choose another place: {_ELSEWHERE}.",
    errno.ENAMETOOLONG: "a name of {longest} letters, more than the disk takes (mostly 255). Choose a shorter one: "
    "hydra.run.dir=DIR or run_name=NAME for a run.",
    errno.ENOTDIR: "a file is where a folder should be. Move it away, or choose another place.",
    errno.EEXIST: "something of this name exists already. Move it away, or choose another place.",
    errno.EMFILE: "too many files are open. `ulimit -n` raises the limit.",
}
_NO_FOLDER = "the folder that this was started in is no longer there. Change to another (cd DIR) and start again."


def explain_os_error(error: OSError) -> str | None:
    """What is wrong with a path, and what to do about it; None if the error names no path, and may be our own."""
    if error.errno is None:  # not raised by the system
        return None
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
    if place is None and isinstance(error, FileNotFoundError) and not has_folder():
        return _NO_FOLDER
    if (text := _DISK.get(error.errno)) is not None:
        text = text.format(free=_free(place) if place is not None else "")
        return f"{place}: {text}" if place is not None else text[0].upper() + text[1:]
    if place is None:
        return None
    if (text := _FILE.get(error.errno)) is not None:
        longest = max(map(len, place.split(os.sep)))
        return f"{place}: {text.format(owner=_owner(place), longest=longest)}"
    return f"{place}: {error.strerror}."


def is_disk_error(error: OSError) -> bool:
    """Whether the disk is at fault, whatever the file."""
    return error.errno in _DISK


def has_folder() -> bool:
    """Whether the working directory of this process still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def ensure_cwd_exists() -> None:
    """Exit with code 2 if the working directory was deleted: many libraries fail there."""
    if not has_folder():
        print(f"error: {_NO_FOLDER}", file=sys.stderr)
        raise SystemExit(2)


def _nearest(place: str) -> str:
    """The nearest existing folder above a path."""
    folder = os.path.dirname(os.path.abspath(place))
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def _free(place: str | None) -> str:
    try:
        folder = _nearest(place or "x")
        return f" ({shutil.disk_usage(folder).free / 1e6:,.1f} MB are free in {folder})"
    except OSError:
        return ""


def _owner(place: str) -> str:
    """The owner of a path, if known."""
    where = place if os.path.lexists(place) else _nearest(place)
    try:
        status = os.stat(where)
    except OSError:
        return ""
    return f" ({where} belongs to user {status.st_uid}, this is user {os.geteuid()})"
