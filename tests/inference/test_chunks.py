"""Cutting an input: nothing lost, cuts only between sentences, and what comes bit by bit is not kept waiting."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.errors import UserError
from ner_lab.inference import chunks
from ner_lab.inference.chunks import Chunk, ChunkReader


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_SMALLEST", 16)
    monkeypatch.setattr(chunks, "_LARGEST", 64)
    monkeypatch.setattr(chunks, "_LONG", 100)


def all_of(feed: ChunkReader) -> list[Chunk]:
    found = []
    while (chunk := feed.take()) is not None:
        found.append(chunk)
    assert feed.ended
    assert feed.take() is None
    return found


def cut(content: bytes, **settings: object) -> list[Chunk]:
    feed = ChunkReader(io.BytesIO(content))
    feed.cut(**{"blocks": False} | settings)  # type: ignore[arg-type]
    return all_of(feed)


def lines_of(found: list[Chunk]) -> list[str]:
    return [line for chunk in found for line in chunk.lines("some")]


texts = st.lists(
    st.sampled_from(["a", "Oslo", "é", "\n", "\n", "\n\n", "\r\n", "\n \t\n", " ", "x" * 50]), max_size=60
).map("".join)


@settings(deadline=None, max_examples=200)
@given(text=texts, blocks=st.booleans(), mark=st.booleans())
def test_chunks_are_the_input_in_order_and_know_their_places(text: str, blocks: bool, mark: bool) -> None:
    content = (b"\xef\xbb\xbf" if mark else b"") + text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_SMALLEST", 16)
        patch.setattr(chunks, "_LARGEST", 64)
        found = cut(content, blocks=blocks)
    assert b"".join(chunk.content for chunk in found) == text.encode()
    assert [chunk.before for chunk in found] == [
        content[: chunk.read - len(chunk.content)].count(b"\n") for chunk in found
    ]
    assert (found[-1].read if found else 0) == len(content)
    for chunk in found[:-1]:
        assert chunk.content.endswith(b"\n")
        assert not blocks or not chunk.content.rstrip(b" \t\r\n") or not chunk.content.split(b"\n")[-2].strip()
    expected = text.split("\n")
    assert lines_of(found) == (expected if expected[-1] else expected[:-1])


def test_chunks_grow_to_the_largest_size_and_no_further() -> None:
    sizes = [len(chunk.content) for chunk in cut(b"word\n" * 200)]
    assert sizes[:4] == [15, 30, 60, 60]
    assert max(sizes) == 60


def test_a_sentence_larger_than_any_chunk_is_one_chunk() -> None:
    long = b"w\n" * 500 + b"\n"
    first, *others = cut(long + b"v\n\n" * 500, blocks=True)
    assert first.content.startswith(long)
    assert others


def test_a_file_is_cut_into_parts_for_all_processes(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"1234567\n" * 25)
    with (tmp_path / "text").open("rb") as source:
        feed = ChunkReader(source)
        feed.cut(blocks=False, parts=4)
        assert (feed.size, feed.is_long) == (200, True)
        assert [len(chunk.content) for chunk in all_of(feed)] == [48, 48, 48, 48, 8]


def test_an_input_is_long_by_its_size_or_by_what_came_at_once(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"word\n" * 19)
    with (tmp_path / "text").open("rb") as source:
        assert not ChunkReader(source).is_long
    feed = ChunkReader(io.BytesIO(b"word\n" * 100))
    feed.cut(blocks=False)
    seen = []
    while feed.take() is not None:
        seen.append(feed.is_long)
    assert seen[:4] == [False, False, True, True]


def test_looking_ahead_loses_nothing() -> None:
    feed = ChunkReader(io.BytesIO(b"\xef\xbb\xbfone\ntwo\n" + b"three\n" * 20 + b"end"))
    assert feed.look_ahead(3) == ["one", "two", "three"]
    assert feed.look_ahead(100) == ["one", "two", *["three"] * 20, "end"]
    feed.cut(blocks=False)
    assert lines_of(all_of(feed)) == ["one", "two", *["three"] * 20, "end"]


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", []), (b"\n", [""]), (b"a\n\n", ["a", ""]), (b"\xff\n", ["\ufffd"])]
)
def test_looking_ahead_sees_lines_as_they_are(content: bytes, lines: list[str]) -> None:
    assert ChunkReader(io.BytesIO(content)).look_ahead(50) == lines


def test_the_head_is_what_the_first_chunk_says_that_says_something() -> None:
    asked = []

    def head(chunk: Chunk) -> int | None:
        asked.append(chunk.before)
        return chunk.before if b"here" in chunk.content else None

    found = cut(b"nothing\n\n" * 5 + b"here\n\n" * 5, blocks=True, head=head)
    (first, *_) = (chunk for chunk in found if b"here" in chunk.content)
    assert asked == [chunk.before for chunk in found if chunk.before <= first.before]
    assert [chunk.head for chunk in found] == [None if chunk.before < first.before else first.before for chunk in found]


@pytest.mark.parametrize("end", [b"", b"\nlater\n"])
def test_bytes_that_are_no_text_are_reported_with_their_line_behind_the_lines_before(end: bytes) -> None:
    lines = Chunk(b"one\ntwo\nth\xe9r\xe9" + end, before=10, read=0).lines("some")
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(UserError, match=r"^some:13: byte 0xe9 is not UTF-8\..*iconv"):
        next(lines)


@pytest.fixture
def pipe() -> Iterator[tuple[ChunkReader, Callable[[bytes], None]]]:
    """A feed from a pipe, and what writes into it; an empty write closes it."""
    there, here = os.pipe()
    writer = os.fdopen(here, "wb", buffering=0)

    def write(content: bytes) -> None:
        writer.write(content) if content else writer.close()

    with os.fdopen(there, "rb") as source:
        yield ChunkReader(source), write
    writer.close()


def test_what_has_come_is_not_kept_waiting_for_more(pipe: tuple[ChunkReader, Callable[[bytes], None]]) -> None:
    feed, write = pipe
    feed.cut(blocks=False)
    for line in (b"one\n", b"two\n"):
        write(line)
        chunk = feed.take()
        assert chunk is not None
        assert chunk.content == line
        assert not feed.is_long
    write(b"thr")
    threading.Timer(0.3, lambda: [write(b"ee\nfo"), write(b"")]).start()
    assert [chunk.content for chunk in all_of(feed)] in ([b"three\nfo"], [b"three\n", b"fo"])


def test_a_sentence_is_waited_for_to_its_end(pipe: tuple[ChunkReader, Callable[[bytes], None]]) -> None:
    feed, write = pipe
    feed.cut(blocks=True)
    write(b"Anna\n")
    threading.Timer(0.3, lambda: write(b"won\n\nIt\n")).start()
    chunk = feed.take()
    assert chunk is not None
    assert chunk.content == b"Anna\nwon\n\n"


def test_who_else_has_something_to_say_comes_before_input_that_does_not_come(
    pipe: tuple[ChunkReader, Callable[[bytes], None]],
) -> None:
    feed, write = pipe
    feed.cut(blocks=False)
    ours, theirs = Pipe()
    theirs.send("done")
    assert feed.take([ours]) is None
    assert not feed.ended
    assert ours.recv() == "done"
    write(b"one\n")
    chunk = feed.take([ours])
    assert chunk is not None
    assert chunk.content == b"one\n"
