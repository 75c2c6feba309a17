"""Content hashes, and a cache of prepared data that parallel runs may share.

An entry is a folder named by a hash of everything it depends on; it holds `arrays.safetensors`
and `meta.json` and is renamed into place when whole. Runs that want the same entry at once wait
for the first one to make it. Arrays are mapped, not read: the runs on a machine share the pages, and a run
loads those it touches. What a run writes into an array is its own.
"""

import fcntl
import hashlib
import json
import logging
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from safetensors.numpy import save_file

from ner_lab.whole import write_whole

log = logging.getLogger(__name__)

_DTYPES = {
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "BOOL": "?",
}
"""Kinds of numbers, as safetensors and as numpy name them."""

Entry = tuple[dict[str, np.ndarray], dict[str, Any]]


def cache_dir(stated: str | os.PathLike[str] | None = None) -> Path:
    """`stated`, else `$NER_LAB_CACHE`, else the user's cache directory."""
    return Path(stated or os.environ.get("NER_LAB_CACHE") or pooch.os_cache("ner_lab")).expanduser()


def key_of(**parts: Any) -> str:
    """A name for a cache entry: the hash of `parts`, which must be plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_hash(path: Path, folder: Path) -> str:
    """SHA-256 of a file; remembered in `folder` until the file's size or time changes."""
    stat = path.stat()
    stamp = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    memo = folder / "hashes" / key_of(stamp=stamp)
    if memo.exists():
        return memo.read_text()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    memo.parent.mkdir(parents=True, exist_ok=True)
    write_whole(memo, digest)
    return digest


def get_or_make(folder: Path, key: str, make: Callable[[], Entry]) -> Entry:
    """The entry `key`, from the cache or from `make()`. A damaged entry is made anew."""
    entry = folder / key
    if (found := _load(entry)) is not None:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / f"{key}.lock"):
        if (found := _load(entry)) is not None:
            return found
        made = make()
        _save(entry, *made)
    return _load(entry) or made


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`: one process, and one thread of it, at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def is_locked(path: Path, *, shared: bool = False) -> bool:
    """Whether a process holds the lock file `path` now; `shared`: also a lock that others may hold beside it."""
    try:
        with path.open() as file:
            fcntl.flock(file, (fcntl.LOCK_EX if shared else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, most of all
        return False
    return False


def _load(entry: Path) -> Entry | None:
    if not entry.exists():
        return None
    try:
        arrays = map_arrays(entry / "arrays.safetensors")
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
    except Exception as error:  # whatever is wrong with it, it can be made anew
        log.warning("cache entry %s is damaged (%s); it is made anew", entry, error)
        shutil.rmtree(entry, ignore_errors=True)
        return None
    return arrays, meta


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, mapped: eight bytes of the header's length, the header, the numbers.

    They may be written to; that changes neither the file nor what others see. ValueError where the file is
    not whole.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header.pop("__metadata__", None)
    arrays = {}
    for name, array in header.items():
        start, end = (begin + offset for offset in array["data_offsets"])
        dtype, shape = np.dtype(_DTYPES[array["dtype"]]), array["shape"]
        number = math.prod(shape)
        if end - start != number * dtype.itemsize or end > len(content):
            raise ValueError(f"{path.name} is not whole")
        # an array without numbers may begin where the file ends
        flat = np.frombuffer(content, dtype, number, start) if number else np.empty(0, dtype)
        arrays[name] = flat.reshape(shape)
    return arrays


def _save(entry: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    draft = Path(tempfile.mkdtemp(dir=entry.parent))
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, draft / "arrays.safetensors")
        (draft / "meta.json").write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")
        with suppress(OSError):  # a damaged entry that could not be removed stands there
            os.rename(draft, entry)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
