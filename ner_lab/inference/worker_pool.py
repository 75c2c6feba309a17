"""Processes chunks in several processes, with results in the order of the chunks."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ner_lab.errors import UserError
from ner_lab.inference.chunks import Chunk, ChunkReader
from ner_lab.inference.worker import ChunkResult
from ner_lab.models.threads import set_threads

Work = Callable[[Chunk], ChunkResult]

_AHEAD = 3  # chunks per process that are in work, or done and waiting for an earlier one
METHOD = "fork" if sys.platform == "linux" else "spawn"
"""How processes start. Forked ones share the tagger's memory; system libraries forbid it elsewhere than on Linux."""


def in_processes(feed: ChunkReader, work: Work, number: int) -> Iterator[ChunkResult]:
    """`work(chunk)` for each chunk of `feed`, in `number` processes, up to the first error.

    The processes end with it in any case.
    """
    pool = WorkerPool(work, number)
    try:
        waiting: dict[int, ChunkResult] = {}
        given = finished = 0
        while True:
            while pool.idle and given - finished < _AHEAD * number and not feed.ended:
                if (chunk := feed.take(pool.busy)) is None:
                    break
                pool.give(given, chunk)
                given += 1
            waiting |= pool.results()
            while finished in waiting:
                done = waiting.pop(finished)
                finished += 1
                yield done
                if done.error is not None:
                    return
            if feed.ended and finished == given:
                return
    finally:
        pool.dismiss()


class WorkerPool:
    """Worker processes; each gets its next chunk when it has returned the last."""

    def __init__(self, work: Work, number: int) -> None:
        self._processes: dict[Connection, BaseProcess] = {}
        self._given: dict[Connection, tuple[int, Chunk]] = {}
        self._done: dict[int, ChunkResult] = {}
        context: Any = multiprocessing.get_context(METHOD)
        for _ in range(number):
            ours, theirs = context.Pipe()
            # a forked process has copies of our ends, and would not notice that we have exited
            inherited = [*self._processes, ours] if METHOD == "fork" else []
            process = context.Process(target=_serve, args=(work, theirs, inherited), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process

    @property
    def busy(self) -> list[Connection]:
        return list(self._given)

    @property
    def idle(self) -> list[Connection]:
        return [connection for connection in self._processes if connection not in self._given]

    def give(self, number: int, chunk: Chunk) -> None:
        """Send a chunk to an idle process."""
        connection = self.idle[0]
        self._given[connection] = (number, chunk)
        try:
            connection.send(chunk)
        except OSError:
            self._lose(connection)

    def results(self) -> dict[int, ChunkResult]:
        """Results available from busy processes, at least one."""
        for connection in wait(self.busy) if self._given and not self._done else []:
            assert isinstance(connection, Connection)
            try:
                outcome = connection.recv()
            except (EOFError, OSError):
                self._lose(connection)
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            self._done[self._given.pop(connection)[0]] = outcome
        found, self._done = self._done, {}
        return found

    def _lose(self, connection: Connection) -> None:
        """Handle a dead process: its chunk is lost, and later chunks are useless."""
        process = self._processes.pop(connection)
        connection.close()
        process.join()
        code = process.exitcode or 0
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        number, chunk = self._given.pop(connection)
        error = UserError(
            f"A worker died ({reason}). The output is incomplete after line {chunk.before:,}. "
            "If memory ran out, use threads=1."
        )
        self._done[number] = ChunkResult("", 0, error)

    def dismiss(self) -> None:
        """End all processes."""
        for connection, process in self._processes.items():
            if connection in self._given:
                process.terminate()
            else:
                with suppress(OSError):
                    connection.send(None)
            connection.close()
        for process in self._processes.values():
            process.join()


def _serve(work: Work, connection: Connection, inherited: list[Connection]) -> None:
    """Main loop of a worker process, until it gets the end message or its parent has exited."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    set_threads(1)
    with suppress(EOFError, OSError):
        while (chunk := connection.recv()) is not None:
            connection.send(_outcome(work, chunk))
    os._exit(0)  # skip cleanup of what belongs to the parent process: buffers, threads, handlers


def _outcome(work: Work, chunk: Chunk) -> ChunkResult | BaseException:
    try:
        return work(chunk)
    except Exception as error:
        error.add_note(f"while tagging the text after line {chunk.before:,}:\n{traceback.format_exc()}")
        return error
