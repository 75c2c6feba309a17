"""The cache: whole entries or none, made once however many want them, remade when damaged."""

import hashlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ner_lab.io import cache
from ner_lab.io.cache import Entry, cache_dir, content_hash, get_or_make, key_of
from ner_lab.io.locks import locked

ARRAYS: dict[str, np.ndarray] = {
    "starts": np.array([0, 3, 7], dtype=np.int64),
    "vectors": np.array([[0.5, np.nan], [-1.0, 2.0]], dtype=np.float32),
    "single": np.array([True, False]),
    "none": np.zeros((0, 4), dtype=np.int64),
    "across": np.arange(6).reshape(2, 3).T,
    "scalar": np.array(1.5),
}
META: dict[str, Any] = {
    "labels": ["O", "B-PER"],
    "path": "Málaga",
    "counts": {"train": {"tokens": 7}},
    "coverage": None,
}


FILES = ("vectors.npy", "none.npy", "meta.json", "sums.json")


class Maker:
    """Makes the entry, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Entry:
        self.times += 1
        return ARRAYS, META


def same(found: Entry) -> bool:
    arrays, meta = found
    return (
        meta == META
        and arrays.keys() == ARRAYS.keys()
        and all(
            arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array, equal_nan=array.dtype.kind == "f")
            for name, array in ARRAYS.items()
        )
    )


def folders(place: Path) -> list[str]:
    return [path.name for path in place.iterdir() if path.is_dir()]


# entries


def test_an_entry_is_made_once_and_then_read(tmp_path: Path) -> None:
    make = Maker()
    assert all(same(get_or_make(tmp_path / "prepared", "key", make)) for _ in range(3))
    assert make.times == 1


def test_entries_of_other_keys_are_others(tmp_path: Path) -> None:
    make = Maker()
    get_or_make(tmp_path, "one", make)
    assert get_or_make(tmp_path, "two", lambda: ({}, {"two": 2})) == ({}, {"two": 2})
    assert same(get_or_make(tmp_path, "one", make))
    assert make.times == 1


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, empty, remove])
def test_a_damaged_entry_is_made_anew_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: Callable[[Path], None]
) -> None:
    make = Maker()
    get_or_make(tmp_path, "key", make)
    damage(tmp_path / "key" / name)
    with caplog.at_level(logging.WARNING):
        assert same(get_or_make(tmp_path, "key", make))
    assert f"{tmp_path / 'key'} is damaged (" in caplog.text
    assert name in caplog.text
    assert make.times == 2
    assert same(get_or_make(tmp_path, "key", make))
    assert make.times == 2


def test_a_failure_while_making_leaves_no_entry_and_no_lock(tmp_path: Path) -> None:
    def fail() -> Entry:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        get_or_make(tmp_path, "key", fail)
    assert folders(tmp_path) == []
    make = Maker()
    assert same(get_or_make(tmp_path, "key", make))


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_where_an_entry_cannot_be_written_its_content_is_given_and_said_so_once(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    make = Maker()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(os, call, full)
        assert all(same(get_or_make(tmp_path / "prepared", "key", make)) for _ in range(2))
    assert make.times == 2
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path}: the cache cannot be written (No space left on device)")
    assert not (tmp_path / "prepared").exists() or folders(tmp_path / "prepared") == []
    assert same(get_or_make(tmp_path / "prepared", "key", make))
    assert make.times == 3


def test_a_cache_that_cannot_be_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("York O\n")
    place = tmp_path / "file" / "cache"
    make = Maker()
    with caplog.at_level(logging.WARNING):
        assert content_hash(tmp_path / "file", place) == sha256(b"York O\n")
        assert same(get_or_make(place / "prepared", "key", make))
    (record,) = caplog.records
    assert "Not a directory" in record.getMessage()
    assert "data.cache_dir" in record.getMessage()


def test_what_cannot_be_made_is_an_error_and_not_a_matter_of_the_cache(tmp_path: Path) -> None:
    def fail() -> Entry:
        raise FileNotFoundError(2, "No such file or directory", "train.conll")

    for place in (tmp_path, tmp_path / "file" / "cache"):
        (tmp_path / "file").touch()
        with pytest.raises(FileNotFoundError, match=r"train\.conll"):
            get_or_make(place, "key", fail)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is flushed to the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def damages(content: bytes, *, most: int | None) -> list[bytes]:
    """The content with each of its bits turned, and cut to each length; or `most` of these."""
    flipped = [
        content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        for at in range(len(content))
        for bit in range(8)
    ]
    changed = flipped + [content[:length] for length in range(len(content))]
    return changed if most is None else random.Random(1).sample(changed, most)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("most", [40, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", FILES)
def test_no_turned_bit_and_no_cut_gives_other_content(
    name: str, most: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = Maker()
    get_or_make(tmp_path, "key", make)
    content = (tmp_path / "key" / name).read_bytes()
    for damaged in damages(content, most=most):
        (tmp_path / "key" / name).write_bytes(damaged)
        caplog.clear()
        before = make.times
        with caplog.at_level(logging.WARNING):
            assert same(get_or_make(tmp_path, "key", make))
        if make.times == before:
            assert name == "sums.json"
            assert json.loads(damaged) == json.loads(content)
            (tmp_path / "key" / name).write_bytes(content)
        else:
            (record,) = caplog.records
            assert f"{tmp_path / 'key'} is damaged (" in record.getMessage()
            assert name in record.getMessage()
            assert (tmp_path / "key" / name).read_bytes() == content


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("most", [60, pytest.param(None, marks=pytest.mark.soak)])
def test_no_damaged_memo_gives_another_hash(
    most: int | None, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(b"York O\n")
    expected = content_hash(file, tmp_path / "cache")
    (memo,) = (tmp_path / "cache" / "hashes").iterdir()
    content = memo.read_bytes()
    with caplog.at_level(logging.WARNING):
        for damaged in [b"0" * 64, b"f" * 64 + content[64:], *damages(content, most=most)]:
            memo.write_bytes(damaged)
            caplog.clear()
            assert content_hash(file, tmp_path / "cache") == expected
            assert f"{memo} is damaged" in caplog.text
            assert memo.read_bytes() == content


RUN = """
import sys, time
from pathlib import Path
import numpy as np
from ner_lab.io.cache import get_or_make
from ner_lab.io.atomic import write_atomic

folder, name, other = Path(sys.argv[1]), *sys.argv[2:]

def make():
    with (folder / "made").open("a") as out:
        out.write(name)
    time.sleep(0.3)
    return {"array": np.arange(5)}, {"maker": name}

(folder / f"{name}.ready").touch()
while not (folder / f"{other}.ready").exists():
    time.sleep(0.001)
arrays, meta = get_or_make(folder / "prepared", "key", make)
print(meta["maker"], arrays["array"].tolist())
"""


def test_two_processes_that_want_an_entry_at_once_make_it_once(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path), *names], stdout=subprocess.PIPE, text=True)
        for names in ("ab", "ba")
    ]
    said = {run.communicate(timeout=60)[0] for run in runs}
    maker = (tmp_path / "made").read_text()
    assert maker in ("a", "b")
    assert said == {f"{maker} [0, 1, 2, 3, 4]\n"}


def test_a_lock_is_free_again_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "key.lock"):
        raise RuntimeError
    with locked(tmp_path / "key.lock"):
        pass


# names and hashes


def test_a_key_depends_on_every_part_and_not_on_their_order() -> None:
    assert key_of(a=1, b={"x": 1, "y": [2]}) == key_of(b={"y": [2], "x": 1}, a=1)
    others = [key_of(a=1), key_of(a=2), key_of(b=1), key_of(a="1"), key_of(a=None), key_of(a=1, b=None), key_of()]
    assert len(set(others)) == len(others)
    assert all(name.isalnum() and len(name) == 32 for name in others)


def test_a_key_of_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(TypeError):
        key_of(a=object())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_content_hash_is_the_files_sha256(tmp_path: Path) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(b"York O\n" * 1000)
    for _ in range(2):
        assert content_hash(file, tmp_path / "cache") == sha256(b"York O\n" * 1000)


def test_a_content_hash_is_remembered_and_not_worked_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(b"York O\n")
    first = content_hash(file, tmp_path / "cache")

    def never(*arguments: object) -> None:
        raise AssertionError("the file was read again")

    monkeypatch.setattr(cache.hashlib, "file_digest", never)
    assert content_hash(file, tmp_path / "cache") == first
    (tmp_path / "link.txt").symlink_to(file)
    assert content_hash(tmp_path / "link.txt", tmp_path / "cache") == first


def longer(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"Hull O\n\nYork O\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def as_long(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"Hull O\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def put_in_its_place(file: Path) -> None:
    before = file.stat()
    other = file.with_name("other")
    other.write_bytes(b"Hull O\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize("change", [longer, as_long, put_in_its_place])
def test_a_content_hash_notices_a_changed_file(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(b"York O\n")
    content_hash(file, tmp_path / "cache")
    change(file)
    assert content_hash(file, tmp_path / "cache") == sha256(file.read_bytes())


def test_the_cache_lies_where_stated_else_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NER_LAB_CACHE", str(tmp_path / "environment"))
    assert cache_dir(tmp_path / "stated") == tmp_path / "stated"
    assert cache_dir("~/mine") == tmp_path / "mine"
    assert cache_dir() == cache_dir(None) == tmp_path / "environment"
    monkeypatch.delenv("NER_LAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "ner_lab"


# arrays


def test_arrays_are_mapped_and_what_a_run_writes_into_them_is_its_own(tmp_path: Path) -> None:
    first, _ = get_or_make(tmp_path, "key", Maker())
    assert all(isinstance(array.base, np.memmap) and array.flags.aligned for array in first.values())
    first["starts"][1] = -7
    assert same(get_or_make(tmp_path, "key", Maker()))


def test_an_array_that_would_need_a_pickle_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        get_or_make(tmp_path, "key", lambda: ({"objects": np.array([{}])}, {}))
    assert folders(tmp_path) == []


def test_mapped_arrays_outlive_their_entry(tmp_path: Path) -> None:
    arrays, _ = get_or_make(tmp_path, "key", Maker())
    shutil.rmtree(tmp_path / "key")
    assert arrays["starts"].tolist() == [0, 3, 7]
