"""Support for other launchers: joblib, submitit, Ray, Hydra's own.

They run a job as part of a multirun within their own process. This module isolates such jobs and records
how they ended; the process launcher does both from outside.
"""

import logging

from omegaconf import DictConfig, OmegaConf

from ner_lab.errors import UserError, reason_of
from ner_lab.io.secrets import redacted
from ner_lab.runs.folder import RunFolder
from ner_lab.runs.state import DONE, differences, read_metrics, state_of

log = logging.getLogger(__name__)


def refuse_processes(cfg: DictConfig) -> None:
    """Refuse a job of several processes: each would take itself for the sweep, or be taken for a job."""
    strategy, devices, nodes = str(cfg.trainer.strategy), cfg.trainer.devices, cfg.trainer.num_nodes
    one = str(devices) == "1" or (OmegaConf.is_list(devices) and len(devices) == 1)
    one = one or (str(devices) == "auto" and cfg.trainer.accelerator == "cpu")  # on GPUs: all available
    if "ddp" in strategy or not one or nodes != 1:
        raise UserError(
            f"trainer.strategy={strategy} trainer.devices={devices} trainer.num_nodes={nodes} in a sweep needs "
            "hydra/launcher=process: with the chosen launcher each process of a job would start the whole sweep again, "
            "and jobs would mix. Or give each job one device: trainer=cpu, trainer=gpu."
        )


def finished_value(run: RunFolder, cfg: DictConfig) -> float | None:
    """Dev F1 of a job that was finished before; it must match the job requested now."""
    if state_of(run) != DONE:
        return None
    if other := differences(run, cfg):
        raise UserError(
            f"{run.path} holds a finished run of another config ({other[0]}). Choose another hydra.sweep.dir."
        )
    log.info("%s is finished already", run.path)
    if (dev := (read_metrics(run) or {}).get("dev")) is None:
        raise UserError(
            f"{run.metrics}: no scores of dev in it. Move {run.path} away, or choose another hydra.sweep.dir."
        )
    return float(dev["f1"])


def note_failure(run: RunFolder, error: Exception, mistake: str | None) -> str:
    """Log why a job ended without a score, and return it in one line. `mistake`: the user error's message.

    Training writes failure.json once its run has started; here it is written for what fails before that.
    """
    reason, lines = reason_of(error, mistake)
    log.error("error: %s", "\n".join([reason, *lines]))
    if not run.is_held() and not run.metrics.exists() and not run.has_failure(reason):
        run.path.mkdir(parents=True, exist_ok=True)
        run.write_failure(reason, lines)
    return redacted(reason)
