"""Chunks over several processes: results in order, and an end in good order whatever happens."""

import io
import os
import pickle
import signal
import time
from pathlib import Path

import pytest

from ner_lab.errors import UserError
from ner_lab.inference import chunks
from ner_lab.inference import worker_pool as processes
from ner_lab.inference.chunks import Chunk, ChunkReader
from ner_lab.inference.worker import ChunkResult
from ner_lab.inference.worker_pool import in_processes


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_SMALLEST", 8)
    monkeypatch.setattr(chunks, "_LARGEST", 8)


def feed_of(content: str) -> ChunkReader:
    feed = ChunkReader(io.BytesIO(content.encode()))
    feed.cut(blocks=False)
    return feed


def shout(chunk: Chunk) -> ChunkResult:
    return ChunkResult(chunk.content.decode().upper(), chunk.read)


def late(chunk: Chunk) -> ChunkResult:
    """The earlier, the later."""
    time.sleep(0.02 * max(0, 5 - chunk.before))
    return shout(chunk)


def by_whom(chunk: Chunk) -> ChunkResult:
    time.sleep(0.01)
    return ChunkResult(str(os.getpid()), chunk.read)


def complain(chunk: Chunk) -> ChunkResult:
    error = UserError(f"some:{chunk.before + 1}: bad") if b"bad" in chunk.content else None
    return ChunkResult("" if error else chunk.content.decode(), chunk.read, error)


def die(chunk: Chunk) -> ChunkResult:
    if b"bad" in chunk.content:
        time.sleep(0.1)  # others are done by then
        os.kill(os.getpid(), signal.SIGKILL)
    return complain(chunk)


def stumble(chunk: Chunk) -> ChunkResult:
    raise KeyError(chunk.before)


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


LINES = "".join(f"line {number}\n" for number in range(40))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_results_come_in_the_order_of_the_chunks(number: int) -> None:
    found = list(in_processes(feed_of(LINES), late, number))
    assert "".join(done.text for done in found) == LINES.upper()
    assert [done.read for done in found] == sorted(done.read for done in found)
    assert found[-1].read == len(LINES)


def test_all_processes_work_none_of_them_is_this_one_and_all_end() -> None:
    workers = {int(done.text) for done in in_processes(feed_of(LINES), by_whom, 3)}
    assert len(workers) == 3
    assert os.getpid() not in workers
    assert all(map(gone, workers))


def test_an_empty_input_has_no_results() -> None:
    assert list(in_processes(feed_of(""), shout, 2)) == []


def test_results_go_no_further_than_an_error() -> None:
    found = list(in_processes(feed_of(LINES.replace("line 17", "bad 17")), complain, 3))
    assert "".join(done.text for done in found) == LINES[: LINES.index("line 17")]
    assert str(found[-1].error) == "some:18: bad"
    assert all(done.error is None for done in found[:-1])


def test_output_before_a_killed_worker_is_kept() -> None:
    found = list(in_processes(feed_of(LINES.replace("line 17", "bad 17")), die, 3))
    assert "".join(done.text for done in found) == LINES[: LINES.index("line 17")]
    assert isinstance(found[-1].error, UserError)
    assert str(found[-1].error) == (
        "A worker died (SIGKILL). The output is incomplete after line 17. If memory ran out, use threads=1."
    )


def test_all_processes_may_be_killed() -> None:
    found = list(in_processes(feed_of("bad\n" * 40), die, 2))
    assert len(found) == 1
    assert "SIGKILL" in str(found[0].error)


def test_a_mistake_of_ours_comes_out_as_it_is_with_its_place() -> None:
    with pytest.raises(KeyError) as caught:
        list(in_processes(feed_of(LINES), stumble, 2))
    (note,) = caught.value.__notes__
    assert "after line " in note
    assert "in stumble" in note


def test_no_process_outlives_whoever_has_read_enough() -> None:
    results = in_processes(feed_of(LINES * 50), by_whom, 2)
    workers = {int(next(results).text) for _ in range(4)}
    results.close()  # type: ignore[attr-defined]
    assert all(map(gone, workers))


def test_few_results_wait_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_AHEAD", 3)
    taken = []
    feed = feed_of(LINES)
    take = feed.take

    def counting(*others: object) -> Chunk | None:
        if (chunk := take(*others)) is not None:  # type: ignore[arg-type]
            taken.append(chunk.before)
        return chunk

    monkeypatch.setattr(feed, "take", counting)
    results = in_processes(feed, first_slow, 2)
    next(results)
    assert len(taken) <= 2 * 3 + 2
    assert "".join(done.text for done in results) == LINES.upper()[len("line 0\n") :]


def first_slow(chunk: Chunk) -> ChunkResult:
    time.sleep(0.3 if chunk.before == 0 else 0)
    return shout(chunk)


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    parent = os.fork()
    if not parent:
        for done in in_processes(feed_of(LINES * 50), by_whom, 2):
            with (tmp_path / "workers").open("a") as file:
                file.write(done.text + "\n")
        os._exit(0)
    while not (tmp_path / "workers").exists() or len(set((tmp_path / "workers").read_text().split())) < 2:
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    workers = {int(line) for line in (tmp_path / "workers").read_text().split()}
    end = time.monotonic() + 20
    while not all(map(gone, workers)) and time.monotonic() < end:
        time.sleep(0.01)
    assert all(map(gone, workers))


def test_errors_and_results_travel_whole() -> None:
    done = ChunkResult("text", 3, UserError("some:3: bad"))
    again = pickle.loads(pickle.dumps(done))
    assert (again.text, again.read, str(again.error), type(again.error)) == ("text", 3, "some:3: bad", UserError)
