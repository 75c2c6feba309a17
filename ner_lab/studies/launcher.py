"""Runs the pending jobs of a multirun as processes, as many at once as the machine allows."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ner_lab.config.compose import CONF_DIR, quoted
from ner_lab.errors import JobElsewhere, JobFailed, check_choice, invalid_value
from ner_lab.io.machine import available_cores
from ner_lab.io.terminal import start_logging
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import DONE, RUNNING, failure_of, read_metrics, state_of
from ner_lab.studies.devices import GpuPool, jobs_that_fit, need_of, usable_gpus
from ner_lab.studies.pending import KEEP, REDO, REFUSE, are_due
from ner_lab.studies.process_pool import Launch, Processes, describe_exit, training_command
from ner_lab.studies.progress_view import SweepView

log = logging.getLogger(__name__)

_ON_CHANGE = (REFUSE, KEEP, REDO)
_OF_THE_SWEEP = (
    "hydra.mode",
    "hydra.sweep",
    "hydra.launcher",
    "hydra/launcher",
    "hydra.sweeper",
    "hydra/sweeper",
    "hydra.run",
)


def launch(
    jobs: Sequence[tuple[list[str], DictConfig]],
    master: DictConfig,
    *,
    n_jobs: int | None,
    gpus: Sequence[Any] | None,
    jobs_per_gpu: int,
    on_config_change: str,
) -> list[float | Exception]:
    """Run jobs, each given by its overrides and its config with its `hydra` node; return dev F1 or the error of each.

    master: the config of the multirun. The settings are those of `conf/hydra/launcher/process.yaml`.
    """
    start_logging()
    check_choice("hydra.launcher.on_config_change", on_config_change, _ON_CHANGE)
    if n_jobs is not None and (not isinstance(n_jobs, int) or n_jobs < 1):
        raise invalid_value("hydra.launcher.n_jobs", n_jobs, "at least 1, or null for as many as the machine allows")
    at_hand = usable_gpus(gpus)
    pool = GpuPool(at_hand, jobs_per_gpu)
    launches = [
        Launch(
            overrides=[
                *_own(overrides),
                *_hydra_overrides(master),
                f"hydra.run.dir={quoted(str(folder))}",
                "hydra.mode=RUN",
            ],
            run=RunFolder(folder),
            need=need_of(cfg, at_hand),
        )
        for overrides, cfg in jobs
        for folder in [Path(cfg.hydra.sweep.dir).absolute() / cfg.hydra.sweep.subdir]
    ]
    needed = are_due([job.run for job in launches], [cfg for _, cfg in jobs], on_config_change)
    by_folder = {job.run.path: job for job, is_due in zip(launches, needed, strict=True) if is_due}
    due = list(by_folder.values())  # a search may request the same job twice
    if due:
        at_once = n_jobs or _at_once(due, pool)
        source = _source(master)
        log.info("%d jobs to run, %d at once", len(due), min(at_once, len(due)))
        with SweepView(due, at_once) as view:
            Processes(
                command=lambda job: training_command(job, source),
                n_jobs=at_once,
                gpus=pool,
                wanted=lambda job: _make_room(job, view),
                watch=view.watch,
                ended=view.ended,
            ).run(due)
    return [_value(by_folder.get(job.run.path, job)) for job in launches]


def _at_once(due: Sequence[Launch], pool: GpuPool) -> int:
    """Number of parallel jobs: as many as fit if all were as large as the largest; GPU jobs are limited by the GPUs."""
    if all(job.need.gpu for job in due):
        return max(1, sum(pool.room.values()))
    return min(jobs_that_fit(job.need, available_cores()) for job in due if not job.need.gpu)


def _make_room(job: Launch, view: SweepView) -> bool:
    """Set aside the files of earlier attempts, unless the job can resume from them.

    False if another sweep has finished or started the job meanwhile.
    """
    if state_of(job.run) in (DONE, RUNNING):
        view.left_out(job)
        return False
    if not job.run.may_resume():
        job.run.set_aside()
    return True


def _value(job: Launch) -> float | Exception:
    metrics = read_metrics(job.run)
    if metrics is not None and metrics.get("status") == "ok":
        return float(metrics["dev"]["f1"])
    if job.exit_code is None and state_of(job.run) == RUNNING:
        return JobElsewhere(f"{job.name}: another process is training it")
    if job.exit_code is None:
        return JobFailed(f"{job.name}: not run to its end here")
    return JobFailed(f"{job.name}: {failure_of(job.run) or describe_exit(job.exit_code)}")


def _own(overrides: Sequence[str]) -> list[str]:
    """The overrides without the folder name, which the job receives in full."""
    return [item for item in overrides if not item.startswith("hydra.sweep.")]


def _hydra_overrides(master: DictConfig) -> list[str]:
    """Overrides of Hydra's own config that a single job shares with the sweep."""
    return [item for item in master.hydra.overrides.hydra if not item.lstrip("+~").startswith(_OF_THE_SWEEP)]


def _source(master: DictConfig) -> list[str]:
    """The arguments that locate the config of the multirun."""
    source = ["--config-name", master.hydra.job.config_name]
    for place in master.hydra.runtime.config_sources:
        if place.provider == "command-line" and Path(place.path) != CONF_DIR:
            source += ["--config-dir", place.path]
    return source
