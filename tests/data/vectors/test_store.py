"""The cache of vector files: the same vectors as the careful reader, memory-mapped, recreated when damaged."""

import gzip
import json
import logging
import multiprocessing
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ner_lab.data.vectors import formats, store
from ner_lab.data.vectors.formats import Rows, read_any, read_text, text_blocks
from ner_lab.data.vectors.store import read_stored
from ner_lab.errors import UserError

TEXT = "the 0.5 -1.25 3.0\nZürich 1e-3 2.0 -0.125\n, 7 8 9\n".encode()
FILES = ("vectors.npy", "words.txt", "sums.json")
Written = Callable[[bytes], tuple[Path, Path]]
BINARY = b"2 2\nthe " + struct.pack("<2f", 0.5, -1.25) + b"\nof " + struct.pack("<2f", 2, 4) + b"\n"


def same(found: Rows, expected: Rows) -> None:
    assert found[0] == expected[0]
    assert found[1].dtype == np.float32
    np.testing.assert_array_equal(found[1], expected[1])


def never(*_: object) -> Any:
    raise AssertionError("read again")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a file, and gives it with a cache."""

    def write(content: bytes) -> tuple[Path, Path]:
        path = tmp_path / "vectors.txt"
        path.write_bytes(content)
        return path, tmp_path / "cache"

    return write


# what is read


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        b"3 3\n" + TEXT,
        TEXT.replace(b" ", b"\t"),
        TEXT.replace(b"\n", b" \r\n"),
        TEXT.rstrip(),
        b"the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\n1 2 3 4 5 6\n",
        "\u00a0 1 2 3\n\u0085 4 5 6\n12 7 8 9\n".encode(),
        b"a 1 2\nb 3 4\na 5 6\nb 7 8\nc 0.1 0.2\n",
        b" 0.5 0.25\na 0.5 0.125\n",
        b"2 2\nthe 0.5 0.5 \nof 0.25 0.25 \nmore 0.1 0.2 \n",
    ],
)
@pytest.mark.parametrize("wanted", [None, {"the", ". . .", "b", "absent", "1 2 3", "\u00a0"}])
@pytest.mark.parametrize("size", [1024, 2])
def test_the_first_and_the_second_reading_give_what_the_careful_reader_gives(
    written: Written, content: bytes, wanted: set[str] | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_TOGETHER", size)
    path, cache = written(content)
    expected = read_text(path, wanted)
    same(read_stored(path, wanted, cache), expected)
    monkeypatch.setattr(store, "read_text", never)
    monkeypatch.setattr(store, "text_blocks", never)
    same(read_stored(path, wanted, cache), expected)


words_and_numbers = st.integers(2, 4).flatmap(
    lambda dim: st.lists(
        st.tuples(
            st.text("aZé中.,-_'0129 \u0085\u00a0", min_size=1, max_size=6),
            st.lists(
                st.one_of(
                    st.floats(-10, 10).map(lambda x: f"{x:.5f}"),
                    st.floats(-1e4, 1e4, width=32).map(repr),
                    st.floats(-1, 1).map(repr),
                    st.sampled_from([".5", "5.", "+0.5", "-0.0", "1_0.5", "007.5", "9.999999999999999", "1e-40"]),
                    st.sampled_from(["0x10", "1\u00a0", "1e39", "nan", "1,5", "0.5.5", "--1", '"1"', "1#"]),
                ),
                min_size=dim,
                max_size=dim,
            ),
        ),
        min_size=1,
        max_size=8,
    )
)


@settings(max_examples=60, deadline=None)
@example([("a", ["0.0", "0.0"]), ("a", ["0.0", "0x10"])], b"\n", False, 1)  # a damaged line of a repeated word
@given(words_and_numbers, st.sampled_from([b"\n", b"\r\n", b" \n"]), st.booleans(), st.sampled_from([1, 3, 1024]))
def test_blocks_of_any_text_hold_what_the_careful_reader_gives(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, list[str]]], newline: bytes, last: bool, size: int
) -> None:
    content = newline.join(" ".join([word, *numbers]).encode() for word, numbers in lines) + newline * last
    path = tmp_path_factory.mktemp("text") / "vectors.txt"
    path.write_bytes(content)
    expected: Rows | str
    try:
        expected = read_text(path, None)
    except UserError as error:
        expected = str(error)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(formats, "_TOGETHER", size)
        try:
            found = list(text_blocks(file, path))
        except UserError:
            assert isinstance(expected, str)
            return
    assert not isinstance(expected, str), expected
    rows: dict[str, np.ndarray] = {}
    for some, vectors in found:
        for word, vector in zip(some, vectors, strict=True):
            rows.setdefault(word.decode(), vector)
    same((list(rows), np.stack(list(rows.values()))), expected)


@pytest.mark.parametrize("pack", ["vectors.txt.gz", "vectors.zip"])
def test_packed_files_are_cached(tmp_path: Path, pack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / pack
    if pack.endswith(".gz"):
        path.write_bytes(gzip.compress(TEXT))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("folder/a.txt", TEXT)
            archive.writestr("folder/b.txt", b"other 1 2 3\n")
    member = None if pack.endswith(".gz") else "a.txt"
    expected = read_text(path, None, member)
    for _ in range(2):
        same(read_stored(path, None, tmp_path / "cache", member=member), expected)
        monkeypatch.setattr(store, "text_blocks", never)


def test_members_of_one_zip_are_separate_entries(tmp_path: Path) -> None:
    path = tmp_path / "vectors.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"a 1 2\n")
        archive.writestr("b.txt", b"b 3 4\n")
    for _ in range(2):
        assert read_stored(path, None, tmp_path / "cache", member="a.txt")[0] == ["a"]
        assert read_stored(path, None, tmp_path / "cache", member="b.txt")[0] == ["b"]


def test_word2vecs_binary_is_cached(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = written(BINARY)
    for _ in range(2):
        same(read_stored(path, None, cache, any_format=True), read_any(path, None))
        same(read_stored(path, {"of"}, cache, any_format=True), read_any(path, {"of"}))
        monkeypatch.setattr(store, "binary_blocks", never)


# errors


@pytest.mark.parametrize(
    "content",
    [
        b"the 1 2 3\nof 1 2\n",
        b"the 1 2 3\nof 1 x 3\n",
        b"the 1 2 3\nof 1 nan 3\n",
        b"the 1 2 3\n\nof 4 5 6\n",
        b"4 3\nthe 1 2 3\nof 4 5 6\n",
        b"the 1\n",
        b"",
        b"the 1 2 3\n\xff\xfe 4 5 6\n",
        b"the 1 2 3\nof  4 5\n",
    ],
)
def test_errors_are_those_of_the_careful_reader(written: Written, content: bytes) -> None:
    path, cache = written(content)
    with pytest.raises(UserError) as expected:
        read_text(path, None)
    for _ in range(2):
        with pytest.raises(UserError) as found:
            read_stored(path, None, cache)
        assert str(found.value) == str(expected.value)
    assert not list((cache / "read_vectors").glob("*/vectors.npy")) or b"\xff" in content


@pytest.mark.parametrize("damage", [b"of 1 x 3\n", b"\xff\xfe 4 5 6\n"])
def test_damaged_lines_of_unwanted_words_are_ignored(written: Written, damage: bytes) -> None:
    path, cache = written(b"the 1 2 3\n" + damage)
    for _ in range(2):
        same(read_stored(path, {"the"}, cache), read_text(path, {"the"}))


# the entry


def entry(cache: Path) -> Path:
    (found,) = [place for place in (cache / "read_vectors").iterdir() if place.is_dir()]
    return found


def test_the_array_is_memory_mapped(written: Written) -> None:
    path, cache = written(TEXT)
    read_stored(path, None, cache)
    mapped = np.load(entry(cache) / "vectors.npy", mmap_mode="r")
    same(([*"abc"], np.asarray(mapped)), ([*"abc"], read_text(path, None)[1]))
    assert isinstance(read_stored(path, None, cache)[1].base, np.memmap)
    assert (entry(cache) / "words.txt").read_bytes() == "the\nZürich\n,\n".encode()


def test_a_copy_elsewhere_is_the_same_entry_and_a_changed_file_another(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = written(TEXT)
    expected = read_stored(path, None, cache)
    copy = path.with_name("copy.txt")
    shutil.copy(path, copy)
    path.write_bytes(b"other 1 2 3\n")
    assert read_stored(path, None, cache)[0] == ["other"]
    monkeypatch.setattr(store, "text_blocks", never)
    same(read_stored(copy, None, cache), expected)


@pytest.mark.parametrize("most", [40, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", FILES)
def test_no_flipped_bit_and_no_truncation_gives_another_vector(
    written: Written, name: str, most: int | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    path, cache = written(TEXT)
    expected = read_text(path, None)
    read_stored(path, None, cache)
    part = entry(cache) / name
    content = part.read_bytes()
    damaged = [
        content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
        for at in range(len(content))
        for bit in range(8)
    ]
    damaged += [content[:length] for length in range(len(content))]
    chosen = damaged if most is None else random.Random(1).sample(damaged, most)
    for changed in [None, b"", b"{}\n" + content[3:], *chosen]:
        part.unlink()
        if changed is not None:
            part.write_bytes(changed)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            same(read_stored(path, None, cache), expected)
        if changed is not None and part.read_bytes() == changed:  # a changed blank
            assert name == "sums.json"
            assert json.loads(changed) == json.loads(content)
            part.write_bytes(content)
        else:
            assert f"{part.parent} is damaged (" in caplog.text
            assert name in caplog.text
            assert part.read_bytes() == content


def test_a_failure_while_reading_leaves_no_entry(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: Any, path: Path) -> Any:
        yield [b"the"], np.ones((1, 3), dtype=np.float32)
        raise KeyboardInterrupt

    path, cache = written(TEXT)
    with monkeypatch.context() as patch:
        patch.setattr(store, "text_blocks", broken)
        with pytest.raises(KeyboardInterrupt):
            read_stored(path, None, cache)
    assert not [place for place in (cache / "read_vectors").iterdir() if place.is_dir()]
    same(read_stored(path, None, cache), read_text(path, None))


def test_without_a_writable_cache_the_file_is_read(
    written: Written, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    path, cache = written(TEXT)
    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            same(read_stored(path, {"the"}, cache), read_text(path, {"the"}))
    (record,) = caplog.records
    assert "the cache cannot be written (No space left on device)" in record.getMessage()
    assert not [place for place in (cache / "read_vectors").iterdir() if place.is_dir()]
    same(read_stored(path, {"the"}, None), read_text(path, {"the"}))


def _reads(path: Path, cache: Path, results: Any) -> None:
    words, matrix = read_stored(path, None, cache)
    results.put((words, matrix.sum().item()))


def test_processes_that_come_at_once_all_read_the_same(written: Written) -> None:
    path, cache = written(b"".join(b"w%d 0.5 0.25\n" % n for n in range(2000)))
    cache.mkdir()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_reads, args=(path, cache, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert found == [([f"w{n}" for n in range(2000)], 1500.0)] * 3
    assert entry(cache)
