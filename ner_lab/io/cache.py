"""Content hashes, and a cache of prepared data that parallel runs share.

An entry is a folder named by a hash of everything it depends on. It holds a `NAME.npy` for each array, `meta.json` and
their checksums, and is renamed into place when complete. An entry with wrong checksums is reported, removed and made
again. Runs that want the same entry at once wait for the first one to make it. Arrays are memory-mapped. If the cache
cannot be written, the run works without it.
"""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from ner_lab.io.atomic import write_atomic
from ner_lab.io.checksums import file_sha256, read_checked, sealed_folder
from ner_lab.io.locks import locked

log = logging.getLogger(__name__)

_META = "meta.json"

Entry = tuple[dict[str, np.ndarray], dict[str, Any]]


def cache_dir(folder: str | os.PathLike[str] | None = None) -> Path:
    """`folder` if given, else `$NER_LAB_CACHE`, else the user's cache directory."""
    return Path(folder or os.environ.get("NER_LAB_CACHE") or platformdirs.user_cache_dir("ner_lab")).expanduser()


def key_of(**parts: Any) -> str:
    """The name of a cache entry: the hash of `parts`, which must be plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_hash(path: Path, folder: Path) -> str:
    """SHA-256 of a file, remembered in `folder` until the file's size or time changes."""
    stat = path.stat()
    stamp = [str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    memo = folder / "hashes" / f"{key_of(stamp=stamp)}.txt"
    if (known := _remembered(memo, stamp)) is not None:
        return known
    digest = file_sha256(path)
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(memo, f"{digest} {key_of(stamp=stamp, digest=digest)}\n")
    except OSError as error:
        cannot_keep(folder, error)
    return digest


def _remembered(memo: Path, stamp: list[Any]) -> str | None:
    """The hash in a memo, if it was written there for this file."""
    try:
        text = memo.read_bytes().decode(errors="replace")
    except OSError:
        return None
    digest = text[:64]
    if text != f"{digest} {key_of(stamp=stamp, digest=digest)}\n":
        log.warning("%s is damaged; the checksum of its file is computed again", memo)
        return None
    return digest


def get_or_make(folder: Path, key: str, make: Callable[[], Entry]) -> Entry:
    """The entry `key`, from the cache or from `make()`. A damaged entry is made again.

    If `folder` cannot be written, the result of `make()` is returned directly, with a warning.
    """
    entry = folder / key
    if (found := _found(entry)) is not None:
        return found
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / f"{key}.lock"))
        except OSError as error:
            cannot_keep(folder.parent, error)
            return _found(entry, held=True) or make()
        if (found := _found(entry, held=True)) is not None:
            return found
        made = make()
        try:
            with sealed_folder(entry) as draft:
                _write(draft, *made)
        except OSError as error:
            cannot_keep(folder.parent, error)
            return made
    return _found(entry) or made


def cannot_keep(cache: Path, error: OSError) -> None:
    """Warn, once, that nothing can be written to the cache."""
    _say_once(str(cache), error.strerror or str(error))


@functools.cache
def _say_once(cache: str, reason: str) -> None:
    log.warning(
        "%s: the cache cannot be written (%s), so data is prepared again in every run; set data.cache_dir=DIR "
        "or NER_LAB_CACHE to use another folder",
        cache,
        reason,
    )


def _found(entry: Path, *, held: bool = False) -> Entry | None:
    return read_checked(entry, _read, held=held)


def _read(entry: Path) -> Entry:
    # copy-on-write: what a run writes into an array is private, and torch.from_numpy takes it without a warning
    arrays = {path.stem: np.asarray(np.load(path, mmap_mode="c", allow_pickle=False)) for path in entry.glob("*.npy")}
    return arrays, json.loads((entry / _META).read_text(encoding="utf-8"))


def _write(entry: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    for name, array in arrays.items():
        np.save(entry / f"{name}.npy", array, allow_pickle=False)
    (entry / _META).write_text(json.dumps(meta, ensure_ascii=False), encoding="utf-8")
