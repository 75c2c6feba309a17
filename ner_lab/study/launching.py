"""From the jobs of a multirun to processes: what is finished is skipped, what changed is refused or made anew."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from ner_lab.compose import CONF_DIR, quoted
from ner_lab.errors import UserError
from ner_lab.run_folder import RunFolder
from ner_lab.study.devices import GpuPool, cores_at_hand, gpus_at_hand, jobs_that_fit, need_of
from ner_lab.study.processes import Launch, Processes, how_it_ended, training_command
from ner_lab.study.state import (
    DONE,
    FAILED,
    RUNNING,
    UNFINISHED,
    differences,
    failure_of,
    other_code,
    read_metrics,
    state_of,
)
from ner_lab.study.view import SweepView
from ner_lab.suggest import nearest
from ner_lab.terminal import start_logging

log = logging.getLogger(__name__)

_CHANGED = ("refuse", "keep", "redo")
_SHOWN = 5  # changed jobs and keys that are named
_OF_THE_SWEEP = (
    "hydra.mode",
    "hydra.sweep",
    "hydra.launcher",
    "hydra/launcher",
    "hydra.sweeper",
    "hydra/sweeper",
    "hydra.run",
)


class JobFailed(Exception):
    """Why a job gave no score."""


def launch(
    jobs: Sequence[tuple[list[str], DictConfig]],
    master: DictConfig,
    *,
    n_jobs: int | None,
    gpus: Sequence[Any] | None,
    jobs_per_gpu: int,
    changed: str,
) -> list[float | Exception]:
    """Run jobs, each given by its overrides and its config with its `hydra` node, and give their dev F1, or why not.

    master: the config of the multirun. The settings are those of `conf/hydra/launcher/process.yaml`.
    """
    start_logging()
    if changed not in _CHANGED:
        raise UserError(f"hydra.launcher.changed={changed}{nearest(changed, _CHANGED)} It takes {', '.join(_CHANGED)}.")
    if n_jobs is not None and n_jobs < 1:
        raise UserError(f"hydra.launcher.n_jobs is {n_jobs}; it must be 1 or more, or null for what the machine takes.")
    at_hand = gpus_at_hand() if gpus is None else [str(gpu) for gpu in gpus]
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
    configs = [_without_hydra(cfg) for _, cfg in jobs]
    due = _due(launches, configs, changed)
    if due:
        pool = GpuPool(at_hand, jobs_per_gpu)
        at_once = n_jobs or _at_once(due, pool)
        source = _source(master)
        log.info("%d jobs to run, %d at once", len(due), min(at_once, len(due)))
        with SweepView(len(due), at_once) as view:
            Processes(
                command=lambda job: training_command(job, source),
                n_jobs=at_once,
                gpus=pool,
                watch=view.watch,
                ended=view.ended,
            ).run(due)
    return [_value(job) for job in launches]


def _due(launches: Sequence[Launch], configs: Sequence[DictConfig], changed: str) -> list[Launch]:
    """Those to run: neither finished nor running elsewhere. What is finished must be what is asked for."""
    states = [state_of(job.run) for job in launches]
    finished = [(job, cfg) for job, cfg, state in zip(launches, configs, states, strict=True) if state == DONE]
    other = {job.name: found for job, cfg in finished if (found := differences(job.run, cfg))}
    older = {job.name: commit for job, _ in finished if (commit := other_code(job.run)) is not None}
    if other and changed == "refuse":
        raise UserError(
            f"{len(other)} finished jobs have another config than is asked for now. Nothing was started.\n"
            f"{_listed(other)}\nhydra.launcher.changed=redo trains them anew (and sets the old results aside), "
            "=keep takes them as they are; or give this study another folder, hydra.sweep.dir=outputs/NAME."
        )
    if other:
        log.warning("%d finished jobs have another config than is asked for now:\n%s", len(other), _listed(other))
    if older:
        log.warning(
            "%d finished jobs were trained by other code (commit %s); hydra.launcher.changed=redo trains them anew",
            len(older),
            ", ".join(sorted(set(older.values()))),
        )
    redo = (set(other) | set(older)) if changed == "redo" else set()
    for job, _ in finished:
        if job.name in redo:
            job.run.set_aside()
    skipped = [job for job, _ in finished if job.name not in redo]
    elsewhere = [job for job, state in zip(launches, states, strict=True) if state == RUNNING]
    again = [state for state in states if state in (FAILED, UNFINISHED)]
    if skipped:
        log.info("%d of %d jobs are finished already", len(skipped), len(launches))
    if again:
        log.info("%d failed or were cut off and are made anew", len(again))
    for job in elsewhere:
        log.warning("%s is being trained by another process, and is left to it", job.name)
    left_out = {job.name for job in [*skipped, *elsewhere]}
    return [job for job in launches if job.name not in left_out]


def _listed(found: dict[str, list[str]]) -> str:
    lines = []
    for name, keys in list(found.items())[:_SHOWN]:
        lines += [f"  {name}", *(f"    {key}" for key in keys[:_SHOWN])]
        lines += [f"    and {len(keys) - _SHOWN} more keys"] if len(keys) > _SHOWN else []
    lines += [f"  and {len(found) - _SHOWN} more jobs"] if len(found) > _SHOWN else []
    return "\n".join(lines)


def _at_once(due: Sequence[Launch], pool: GpuPool) -> int:
    """As many as the largest job leaves room for; GPUs limit themselves."""
    if all(job.need.gpu for job in due):
        return max(1, sum(pool.room.values()))
    return min(jobs_that_fit(job.need, cores_at_hand()) for job in due if not job.need.gpu)


def _value(job: Launch) -> float | Exception:
    metrics = read_metrics(job.run)
    if metrics is not None and metrics.get("status") == "ok":
        return float(metrics["dev"]["f1"])
    if job.exit_code is None:
        return JobFailed(f"{job.name}: not run to its end here")
    return JobFailed(f"{job.name}: {failure_of(job.run) or how_it_ended(job.exit_code)}")


def _own(overrides: Sequence[str]) -> list[str]:
    """Without the folder's name, which the job is given in full."""
    return [item for item in overrides if not item.startswith("hydra.sweep.")]


def _hydra_overrides(master: DictConfig) -> list[str]:
    """Overrides of Hydra's own config that a single job shares with the sweep."""
    return [item for item in master.hydra.overrides.hydra if not item.lstrip("+~").startswith(_OF_THE_SWEEP)]


def _source(master: DictConfig) -> list[str]:
    """Where the config of the multirun came from, as arguments."""
    source = ["--config-name", master.hydra.job.config_name]
    for place in master.hydra.runtime.config_sources:
        if place.provider == "command-line" and Path(place.path) != CONF_DIR:
            source += ["--config-dir", place.path]
    return source


def _without_hydra(cfg: DictConfig) -> DictConfig:
    """The config as a job sees it: what refers to `hydra` is resolved within the whole."""
    plain: Any = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    with flag_override(plain, "struct", False):
        plain.run_name = None
    return plain
