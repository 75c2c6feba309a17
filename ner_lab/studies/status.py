"""The status of a study, read from its folder, also while it runs and from another shell."""

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from ner_lab.config.grid import Job
from ner_lab.io.terminal import start_logging, table
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import DONE, FAILED, NEW, RUNNING, UNFINISHED, failure_of, progress_of, read_metrics, state_of
from ner_lab.studies.manifest import read_record

log = logging.getLogger(__name__)

_BAR = 24  # characters
_ORDER = (DONE, RUNNING, FAILED, UNFINISHED, NEW)
_PAUSE = 60.0  # seconds between jobs that count as continuous work: processes start meanwhile


@dataclass
class JobStatus:
    """The status of one job of a study, from its folder."""

    run: RunFolder
    folder: str
    configuration: str
    """Its row's label, else its choices"""
    state: str
    dev: float | None = None
    test: float | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    """While it trained, scoring and start left out."""
    tokens: float = 0.0
    """Tokens trained on, counted in each epoch."""
    ended: float | None = None
    """Seconds since 1970."""
    progress: dict[str, Any] = field(default_factory=dict)
    """The last progress that a running job wrote (see `ner_lab.training.callbacks.progress_file`)."""

    @property
    def share(self) -> float:
        """Completed share of a running job's work, 0 to 1."""
        return float(self.progress.get("share", 0.0))


def read_status(folder: Path, jobs: Sequence[dict[str, Any]] | None = None) -> list[JobStatus]:
    """The status of every job recorded in a study's folder, or of those given."""
    return [_status(folder, job) for job in (read_record(folder)["jobs"] if jobs is None else jobs)]


def _status(folder: Path, job: dict[str, Any]) -> JobStatus:
    run = RunFolder(folder / job["folder"])
    status = JobStatus(run, job["folder"], job.get("label") or job["configuration"], state_of(run))
    if status.state == RUNNING:
        status.progress = progress_of(run)
    metrics = read_metrics(run) if status.state in (DONE, FAILED) else None
    if metrics is not None:
        status.dev, status.test = (metrics.get(split, {}).get("f1") for split in ("dev", "test"))
        status.seconds = metrics.get("train_seconds", 0.0) + metrics.get("data_seconds", 0.0)
        status.tokens_per_second = metrics.get("train_tokens_per_second")
        epochs = metrics.get("history", [])
        status.tokens = sum(epoch.get("seconds", 0.0) * epoch.get("tokens_per_second", 0.0) for epoch in epochs)
        status.ended = run.metrics.stat().st_mtime
    return status


def seconds_left(durations: Sequence[float], shares: Sequence[float], waiting: int, at_once: int) -> float | None:
    """Estimated remaining time of a study from the durations of its jobs; None before the first has ended.

    shares: completed work of the running jobs. at_once: number of parallel jobs.
    """
    if not durations:
        return None
    work = waiting + sum(1 - share for share in shares)
    return mean(durations) * work / max(1, min(at_once, waiting + len(shares)))


def speed_together(statuses: Sequence[JobStatus]) -> float | None:
    """Tokens per second of all ended jobs together, over the time in which they ran, scoring included.

    Parallel jobs share that time. Pauses of the study do not count. None if no job has ended.
    """
    work = sorted((s.ended - s.seconds, s.ended) for s in statuses if s.tokens and s.ended and s.seconds is not None)
    total, until = 0.0, -math.inf
    for begun, ended in work:
        total += max(0.0, ended - (until if begun - until < _PAUSE else begun))
        until = max(until, ended)
    return sum(status.tokens for status in statuses) / total if total else None


def status_table(statuses: Sequence[JobStatus]) -> str:
    """Table of configurations: jobs by state, scores so far, and tokens per second of a job while it trains."""
    names = list(dict.fromkeys(status.configuration for status in statuses))
    rows: list[list[object]] = []
    for name in [*names, "all"]:
        members = [status for status in statuses if name in ("all", status.configuration)]
        counts = Counter(status.state for status in members)
        done = [status for status in members if status.state == DONE]
        scores = [_mean([status.dev for status in done]), _mean([status.test for status in done])]
        speed = _mean([status.tokens_per_second for status in done])
        speed = round(speed) if isinstance(speed, float) else speed
        rows.append([name, *(counts[state] for state in _ORDER), *(scores if name != "all" else ["", ""]), speed])
    return table(["configuration", *_ORDER, "dev F1", "test F1", "tokens/s"], rows)


def running_lines(statuses: Sequence[JobStatus]) -> str:
    """A bar for each running job, with its epoch and dev F1; empty if none is running."""
    running = [status for status in statuses if status.state == RUNNING]
    width = max((len(status.folder) for status in running), default=0)
    lines = []
    for status in running:
        filled = round(_BAR * status.share)
        bar = "━" * filled + "╌" * (_BAR - filled)
        lines.append(f"  {status.folder:<{width}}  {bar} {status.share:4.0%}  {progress_note(status.progress)}")
    return "\n".join(lines)


def progress_note(progress: Mapping[str, Any]) -> str:
    """`epoch 3/25  dev F1 91.20 (best 91.35)`."""
    if not progress:
        return "starting"
    parts = [f"epoch {progress['epoch']}/{progress['epochs']}"]
    if progress.get("f1") is not None:
        parts.append(f"dev F1 {progress['f1']:.2f} (best {progress['best']:.2f})")
    return "  ".join(parts)


def overview(statuses: Sequence[JobStatus]) -> str:
    """The full status: table, running jobs, counts and time left, failures with their reasons."""
    failures = failure_report(statuses)
    parts = [status_table(statuses), running_lines(statuses), summary_line(statuses)]
    return "\n\n".join(part for part in [*parts, f"failed\n{failures}" if failures else ""] if part)


def failure_report(statuses: Sequence[JobStatus], lines: int = 4) -> str:
    """The failed jobs, each with its reason and the end of its log; empty if none failed."""
    parts = []
    for status in statuses:
        if status.state != FAILED:
            continue
        tail = _log_of(status.run)[-lines:]
        parts.append(f"  {status.folder}: {failure_of(status.run)}")
        parts.extend(f"    | {line}" for line in tail)
    return "\n".join(parts)


def duration(seconds: float) -> str:
    """`1 h 05 min`, `3 min 20 s`, `12 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"


def summary_line(statuses: Sequence[JobStatus]) -> str:
    """`12 done, 2 running, 1 failed, 3 left; about 5 min left; all jobs together 17,800 tokens/s`."""
    counts = Counter(status.state for status in statuses)
    text = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state])
    running = [status.share for status in statuses if status.state == RUNNING]
    waiting = counts[NEW] + counts[UNFINISHED] + counts[FAILED]
    durations = [status.seconds for status in statuses if status.state == DONE and status.seconds is not None]
    left = seconds_left(durations, running, waiting, max(1, len(running)))
    if left is not None and waiting + len(running):
        text += f"; about {duration(left)}" + (" left" if running else ", one job at a time")
    # the share of running jobs in the total is not known yet
    speed = None if running else speed_together(statuses)
    return text if speed is None else f"{text}; all jobs together {speed:,.0f} tokens/s"


def _log_of(run: RunFolder) -> list[str]:
    try:
        return [str(line) for line in json.loads(run.failure.read_text(encoding="utf-8")).get("log", [])]
    except (OSError, ValueError):
        return []


def _mean(values: Sequence[float | None]) -> object:
    known = [value for value in values if value is not None]
    return mean(known) if known else "-"


def log_summary(folder: Path, jobs: Sequence[Job]) -> None:
    """Print the table of the sweep's jobs from their folders, failed jobs with reasons, and the next step."""
    start_logging()  # a launcher may have left the log of its last job open
    known = [{"folder": job.folder, "configuration": job.configuration, "label": job.label} for job in jobs]
    statuses = read_status(folder, known)
    log.info("\n%s", overview(statuses))
    place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    steps = [f"ner-lab report {place}"] if any(status.state == DONE for status in statuses) else []
    if any(status.state != DONE for status in statuses):
        steps.append("the same command again runs what is not done")
    log.info("\nstudy folder   %s\nnext\n  %s", place, "\n  ".join(steps))
