"""Determines which jobs of a sweep to run: finished jobs are skipped, changed ones are refused or trained again."""

import logging
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from ner_lab.errors import UserError
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import DONE, FAILED, RUNNING, UNFINISHED, differences, job_name, other_code, state_of

log = logging.getLogger(__name__)

REFUSE, KEEP, REDO = "refuse", "keep", "redo"
"""What may be done about finished jobs of another config."""
_SHOWN = 5  # maximum number of changed jobs and keys that are listed


def are_due(runs: Sequence[RunFolder], cfgs: Sequence[DictConfig], on_change: str = REFUSE) -> list[bool]:
    """Which jobs to run: neither finished nor running elsewhere. Finished jobs must have the requested config.

    cfgs: of the jobs, with their `hydra` node. on_change: one of the words above.
    """
    states = [state_of(run) for run in runs]
    finished = [(run, cfg) for run, cfg, state in zip(runs, cfgs, states, strict=True) if state == DONE]
    other = {job_name(run): found for run, cfg in finished if (found := differences(run, _without_hydra(cfg)))}
    older = {job_name(run): commit for run, _ in finished if (commit := other_code(run)) is not None}
    if other and on_change == REFUSE:
        raise UserError(
            f"{len(other)} finished jobs have another config than the one requested. Nothing was started.\n"
            f"{_listed(other)}\n"
            "With hydra/launcher=process, hydra.launcher.on_config_change=redo trains them again (and sets the old "
            "results aside), =keep accepts them; or use another folder for this study, hydra.sweep.dir=outputs/NAME."
        )
    if other:
        log.warning("%d finished jobs have another config than the one requested:\n%s", len(other), _listed(other))
    if older:
        log.warning(
            "%d finished jobs were trained by other code (commit %s); "
            "hydra/launcher=process hydra.launcher.on_config_change=redo trains them again",
            len(older),
            ", ".join(sorted(set(older.values()))),
        )
    redo = (set(other) | set(older)) if on_change == REDO else set()
    for run, state in zip(runs, states, strict=True):
        half_written = state == UNFINISHED and run.metrics.exists()
        if half_written or job_name(run) in redo:  # otherwise the job would consider it a finished run
            run.set_aside()
    skipped = {job_name(run) for run, _ in finished} - redo
    elsewhere = {job_name(run) for run, state in zip(runs, states, strict=True) if state == RUNNING}
    if skipped:
        log.info("%d of %d jobs are finished already", len(skipped), len(runs))
    if again := [run for run, state in zip(runs, states, strict=True) if state in (FAILED, UNFINISHED)]:
        resumed = sum(run.may_resume() for run in again)
        log.info("%d failed or stopped jobs are run again, %d of them from a checkpoint", len(again), resumed)
    for name in sorted(elsewhere):
        log.warning("%s is being trained by another process, and is left to it", name)
    return [job_name(run) not in skipped | elsewhere for run in runs]


def _listed(found: dict[str, list[str]]) -> str:
    lines = []
    for name, keys in list(found.items())[:_SHOWN]:
        lines += [f"  {name}", *(f"    {key}" for key in keys[:_SHOWN])]
        lines += [f"    and {len(keys) - _SHOWN} more keys"] if len(keys) > _SHOWN else []
    lines += [f"  and {len(found) - _SHOWN} more jobs"] if len(found) > _SHOWN else []
    return "\n".join(lines)


def _without_hydra(cfg: DictConfig) -> DictConfig:
    """The config as a job sees it; references to `hydra` are resolved within the full config."""
    plain: Any = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    with flag_override(plain, "struct", False):
        plain.run_name = None
    return plain
