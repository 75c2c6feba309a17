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
from ner_lab.inference.chunks import Chunk, Feed
from ner_lab.inference.worker import Done
from ner_lab.models.threads import set_threads

Work = Callable[[Chunk], Done]

_AHEAD = 3  # chunks per process that are in work, or done and waiting for an earlier one
METHOD = "fork" if sys.platform == "linux" else "spawn"
"""How processes start. Forked ones share the tagger's memory; system libraries forbid it elsewhere than on Linux."""


def in_processes(feed: Feed, work: Work, number: int) -> Iterator[Done]:
    """`work(chunk)` for each chunk of `feed`, in `number` processes, up to the first error.

    The processes end with it in any case.
    """
    crew = _Crew(work, number)
    try:
        waiting: dict[int, Done] = {}
        given = finished = 0
        while True:
            while crew.idle and given - finished < _AHEAD * number and not feed.ended:
                if (chunk := feed.take(crew.busy)) is None:
                    break
                crew.give(given, chunk)
                given += 1
            waiting |= crew.results()
            while finished in waiting:
                done = waiting.pop(finished)
                finished += 1
                yield done
                if done.error is not None:
                    return
            if feed.ended and finished == given:
                return
    finally:
        crew.dismiss()


class _Crew:
    """Worker processes; each gets its next chunk when it has returned the last."""

    def __init__(self, work: Work, number: int) -> None:
        self._processes: dict[Connection, BaseProcess] = {}
        self._at: dict[Connection, int] = {}
        self._done: dict[int, Done] = {}
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
        return list(self._at)

    @property
    def idle(self) -> list[Connection]:
        return [place for place in self._processes if place not in self._at]

    def give(self, number: int, chunk: Chunk) -> None:
        """Send a chunk to an idle process."""
        place = self.idle[0]
        self._at[place] = number
        try:
            place.send(chunk)
        except OSError:
            self._lose(place)

    def results(self) -> dict[int, Done]:
        """Results available from busy processes, at least one."""
        for place in wait(self.busy) if self._at and not self._done else []:
            assert isinstance(place, Connection)
            try:
                outcome = place.recv()
            except (EOFError, OSError):
                self._lose(place)
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            self._done[self._at.pop(place)] = outcome
        found, self._done = self._done, {}
        return found

    def _lose(self, place: Connection) -> None:
        """Handle a dead process: its chunk is lost, and later chunks are useless."""
        process = self._processes.pop(place)
        place.close()
        process.join()
        code = process.exitcode or 0
        how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
        error = UserError(
            f"a process that tagged was ended {how}: nothing after its text is tagged. "
            "If the machine ran out of memory, fewer processes take less: threads=1."
        )
        self._done[self._at.pop(place)] = Done("", 0, error)

    def dismiss(self) -> None:
        """End all processes."""
        for place, process in self._processes.items():
            if place in self._at:
                process.terminate()
            else:
                with suppress(OSError):
                    place.send(None)
            place.close()
        for process in self._processes.values():
            process.join()


def _serve(work: Work, place: Connection, inherited: list[Connection]) -> None:
    """Main loop of a worker process, until it gets the end message or its parent has exited."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for connection in inherited:
        connection.close()
    set_threads(1)
    with suppress(EOFError, OSError):
        while (chunk := place.recv()) is not None:
            place.send(_outcome(work, chunk))
    os._exit(0)  # skip cleanup of what belongs to the parent process: buffers, threads, handlers


def _outcome(work: Work, chunk: Chunk) -> Done | BaseException:
    try:
        return work(chunk)
    except Exception as error:
        error.add_note(f"while tagging the text after line {chunk.before:,}:\n{traceback.format_exc()}")
        return error
