"""Terminal view of a running sweep: a bar for the sweep and for each running job, a line for each finished job."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from rich.progress import TextColumn

from ner_lab.config.naming import short_names
from ner_lab.io.terminal import bar, is_terminal
from ner_lab.runs.state import failure_of, progress_of, read_metrics
from ner_lab.studies.process_pool import Launch, describe_exit, last_lines
from ner_lab.studies.status import duration, progress_note, seconds_left

log = logging.getLogger(__name__)

_LOOK = 0.5  # seconds between reads of the progress files
_LONGEST = 48  # maximum characters of a name beside a bar
_TELLING = 0.05  # share of a job after which its speed is known


class SweepView:
    """Progress bars on a terminal; otherwise only the lines.

    launches: jobs to run now. at_once: number of parallel jobs.
    """

    def __init__(self, launches: Sequence[Launch], at_once: int) -> None:
        self.total = len(launches)
        self.at_once = at_once
        self._names = {
            name: short if len(short) <= _LONGEST else f"{short[: _LONGEST - 1]}…"
            for name, short in short_names(launch.name for launch in launches).items()
        }
        self._ended = 0
        self._durations: list[float] = []
        self._bars = bar(TextColumn("{task.fields[note]}"), left=False)
        self._whole: Any = None
        self._tasks: dict[str, Any] = {}
        self._looked = 0.0

    def __enter__(self) -> "SweepView":
        if is_terminal():
            self._bars.start()
            self._whole = self._bars.add_task("all jobs", total=self.total, note="")
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def watch(self, running: Sequence[Launch]) -> None:
        """Read the progress of the running jobs and update the bars."""
        if self._whole is None or time.monotonic() - self._looked < _LOOK:
            return
        self._looked = time.monotonic()
        shares, whole = [], []
        for launch in running:
            progress, seconds = progress_of(launch.run), time.monotonic() - launch.started
            shares.append(float(progress.get("share", 0.0)))
            note = progress_note(progress)
            if shares[-1] > _TELLING:
                whole.append(seconds / shares[-1])
                note += f", about {duration(whole[-1] - seconds)} left"
            task = self._tasks.get(launch.name)
            if task is None:
                task = self._bars.add_task(self._names[launch.name], total=1.0, note="")
                self._tasks[launch.name] = task
            self._bars.update(task, completed=shares[-1], note=note)
        waiting = self.total - self._ended - len(running)
        left = seconds_left(self._durations or whole, shares, waiting, self.at_once)
        note = f"{self._ended} of {self.total}" + (f", about {duration(left)} left" if left else "")
        self._bars.update(self._whole, completed=self._ended + sum(shares), note=note)

    def left_out(self, launch: Launch) -> None:
        """Report that there is one job less to run."""
        self.total -= 1
        if self._whole is not None:
            self._bars.update(self._whole, total=self.total)
        log.info("%s was taken by another sweep meanwhile", launch.name)

    def ended(self, launch: Launch) -> None:
        """Report how a job ended."""
        self._ended += 1
        if (task := self._tasks.pop(launch.name, None)) is not None:
            self._bars.remove_task(task)
        metrics = read_metrics(launch.run) or {}
        counted = f"{self._ended:{len(str(self.total))}d}/{self.total}"
        scores = "".join(f"  {name} F1 {metrics[name]['f1']:.2f}" for name in ("dev", "test") if name in metrics)
        if metrics.get("status") == "ok":
            self._durations.append(launch.seconds)
            speed = f"  {metrics.get('train_tokens_per_second', 0.0):,.0f} tokens/s"
            log.info("%s  done    %s%s  %s%s", counted, launch.name, scores, duration(launch.seconds), speed)
            return
        assert launch.exit_code is not None
        reason = failure_of(launch.run) or describe_exit(launch.exit_code)
        lines = "" if metrics else "".join(f"\n    | {line}" for line in last_lines(launch))
        log.warning("%s  failed  %s%s: %s%s", counted, launch.name, scores, reason, lines)
