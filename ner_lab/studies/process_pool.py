"""Runs jobs in parallel, each in an independent process."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import job_name
from ner_lab.studies.devices import GpuPool, Need

log = logging.getLogger(__name__)

_PATIENCE = 20.0  # seconds a job has to save its results after a stop request
_PAUSE = 0.1  # seconds between checks of the jobs
_TAIL = 12  # log lines shown of a failed job
_STOPPED = (os.EX_TEMPFAIL, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGUSR1)
"""Exit codes of a job that was stopped from outside, and did not fail"""
# set by the parent for its own processes: a job that inherited them would take itself for one of those
_OF_OTHERS = {
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("PL_GLOBAL_SEED", "WANDB_RUN_ID", "WANDB_SERVICE", "WANDB_NAME"),
}
_FAMILIES_OF_OTHERS = ("MASTER_", "TORCHELASTIC_", "SLURM_", "JSM_NAMESPACE_", "OMPI_", "PMI_", "PMIX_")


@dataclass
class Launch:
    """A job to start, and its result."""

    overrides: Sequence[str]
    run: RunFolder
    need: Need
    gpus: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    seconds: float = 0.0
    exit_code: int | None = None
    """None: not run to its end, since the sweep was stopped before."""
    said_before: int = 0
    """Size of its console.log, in bytes, when it started."""

    @property
    def name(self) -> str:
        """Configuration and seed."""
        return job_name(self.run)

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Processes:
    """Runs launches, `n_jobs` at a time, in their order as far as GPUs are free.

    command: the program and its arguments for a launch. wanted: called right before a start; if false, the job is
    skipped. watch: called frequently with the running jobs. ended: called with each job when it has ended.
    """

    def __init__(
        self,
        *,
        command: Callable[[Launch], list[str]],
        n_jobs: int,
        gpus: GpuPool,
        wanted: Callable[[Launch], bool],
        watch: Callable[[list[Launch]], None],
        ended: Callable[[Launch], None],
    ) -> None:
        self.command = command
        self.n_jobs = n_jobs
        self.gpus = gpus
        self.wanted = wanted
        self.watch = watch
        self.ended = ended

    def run(self, launches: Sequence[Launch]) -> None:
        """Run all to completion. A failure does not affect others; Ctrl-C, SIGTERM and a closed terminal stop all."""
        waiting, running = list(launches), list[Launch]()
        with Interruptions() as interruptions:
            try:
                while waiting or running:
                    self._start_next(waiting, running)
                    self.watch(running)
                    time.sleep(_PAUSE)
                    for launch in [launch for launch in running if not launch.is_alive()]:
                        running.remove(launch)
                        self._close(launch)
                        self.ended(launch)
                    interruptions.check()
            except BaseException:
                self._stop(running, interruptions)
                raise

    def _start_next(self, waiting: list[Launch], running: list[Launch]) -> None:
        """Start as many jobs as there is room for."""
        while (launch := self._next(waiting, running)) is not None:
            waiting.remove(launch)
            if self.wanted(launch):
                self._start(launch)
                running.append(launch)
            else:
                self.gpus.release(launch.gpus)

    def _next(self, waiting: Sequence[Launch], running: Sequence[Launch]) -> Launch | None:
        """The first waiting job for which there is room; its GPUs are taken."""
        if len(running) >= self.n_jobs:
            return None
        for launch in waiting:
            if not launch.need.gpu:
                return launch
            if (gpus := self.gpus.acquire(launch.need.processes)) is not None:
                launch.gpus = gpus
                return launch
        return None

    def _start(self, launch: Launch) -> None:
        launch.run.path.mkdir(parents=True, exist_ok=True)
        launch.run.failure.unlink(missing_ok=True)  # of an earlier attempt
        launch.started = time.monotonic()
        with _console(launch).open("ab") as console:
            launch.said_before = console.tell()
            launch.process = subprocess.Popen(
                self.command(launch),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=job_environment(os.environ, launch.gpus),
                start_new_session=True,  # Ctrl-C reaches only this process, which can signal all processes of a job
            )

    def _close(self, launch: Launch) -> None:
        """Record how a job ended; end any processes it left running."""
        assert launch.process is not None
        launch.exit_code = launch.process.returncode
        launch.seconds = time.monotonic() - launch.started
        _signal(launch, signal.SIGKILL)
        self.gpus.release(launch.gpus)
        code, run = launch.exit_code, launch.run
        if code not in _STOPPED and not run.metrics.exists() and not run.failure.exists():
            with contextlib.suppress(OSError):
                run.write_failure(describe_exit(code), last_lines(launch), exit_code=code)

    def _stop(self, running: Sequence[Launch], interruptions: "Interruptions") -> None:
        """Ask all jobs to stop, wait, then kill; a further Ctrl-C ends the wait."""
        for sign, patience in ((signal.SIGINT, _PATIENCE), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            until, asked = time.monotonic() + patience, interruptions.number
            alive = [launch for launch in running if launch.is_alive()]
            for launch in alive:
                _signal(launch, sign)
            if alive and sign == signal.SIGINT:
                with contextlib.suppress(OSError):  # the terminal may be closed
                    log.info("stopping %d running jobs", len(alive))
            while time.monotonic() < until and interruptions.number == asked and any(one.is_alive() for one in alive):
                time.sleep(_PAUSE)
        for launch in running:
            _signal(launch, signal.SIGKILL)  # remaining processes of the job


def job_environment(environment: Mapping[str, str], gpus: Sequence[str]) -> dict[str, str]:
    """The environment of a job: ours without variables of other processes, and with only its own GPUs visible."""
    of_job = {
        name: value
        for name, value in environment.items()
        if name not in _OF_OTHERS and not name.startswith(_FAMILIES_OF_OTHERS)
    }
    of_job["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if "CUDA_VISIBLE_DEVICES" not in environment:
        of_job["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # same numbering as nvidia-smi
    if not {"", os.getcwd()} & set(sys.path):
        of_job["PYTHONSAFEPATH"] = "1"  # do not import modules from the working folder
    return of_job


def describe_exit(code: int) -> str:
    """Describe the exit code of a job without metrics.json."""
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    words = {
        0: "ended without metrics.json",
        2: "refused (exit code 2)",
        os.EX_TEMPFAIL: "stopped; it resumes from its checkpoint when it is started again",
        130: "interrupted",
    }
    return words.get(code, f"exit code {code}")


def last_lines(launch: Launch, number: int = _TAIL) -> list[str]:
    """The last lines of a job's output in this attempt."""
    try:
        with _console(launch).open("rb") as console:
            console.seek(max(launch.said_before, console.seek(0, os.SEEK_END) - 20_000))
            text = console.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-number:]


def _console(launch: Launch) -> Path:
    return launch.run.path / "console.log"


def _signal(launch: Launch, sign: signal.Signals) -> None:
    """Send a signal to all processes of a job: they share a session."""
    assert launch.process is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(launch.process.pid, sign)


class Interruptions:
    """Counts Ctrl-C, SIGTERM and SIGHUP while entered, so that no signal interrupts the start of a job."""

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[signal.Signals, Any] = {}

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was a signal."""
        if self.number:
            raise KeyboardInterrupt

    def __enter__(self) -> "Interruptions":
        if threading.current_thread() is threading.main_thread():  # signals arrive only there
            for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                # signals ignored here (nohup, `&` in a script) stay ignored for us only: jobs would inherit it
                ignored = signal.getsignal(sign) == signal.SIG_IGN
                self._before[sign] = signal.signal(sign, _nothing if ignored else self._count)
        return self

    def __exit__(self, *error: object) -> None:
        for sign, handler in self._before.items():
            signal.signal(sign, handler)

    def _count(self, number: int, frame: object) -> None:
        self.number += 1


def _nothing(number: int, frame: object) -> None:
    """Ignores a signal."""


def training_command(launch: Launch, source: Sequence[str]) -> list[str]:
    """`ner-lab train` for one job in single-run mode; `source`: arguments that locate its config."""
    return [sys.executable, "-m", "ner_lab.cli.train", *source, *launch.overrides]
