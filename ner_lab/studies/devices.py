"""CPU and GPU requirements of jobs, and the assignment of GPUs."""

import itertools
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from ner_lab.errors import UserError, invalid_value
from ner_lab.io.machine import available_cores


@dataclass(frozen=True)
class Need:
    """The requirements of one job: `processes` of `threads` each, one GPU per process or none."""

    processes: int
    threads: int
    gpu: bool


def need_of(cfg: DictConfig, gpus: Sequence[str]) -> Need:
    """The requirements of the job of a config when `gpus` are available."""
    accelerator, devices, nodes = cfg.trainer.accelerator, cfg.trainer.devices, cfg.trainer.num_nodes
    if nodes != 1:
        raise UserError(f"trainer.num_nodes={nodes}, but jobs of hydra/launcher=process stay on this machine: give 1.")
    gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and bool(gpus))
    if gpu and not gpus:
        raise UserError(
            f"trainer.accelerator={accelerator}, but there is no GPU to give to a job. "
            "Name them with hydra.launcher.gpus=[0,1], or train on the CPU: trainer=cpu."
        )
    if str(devices) in ("auto", "-1"):
        processes = len(gpus) if gpu else 1
    elif not str(devices).isdigit() or (processes := int(devices)) < 1:
        raise UserError(f"trainer.devices={devices}, but a sweep deals devices out: give their number, or auto.")
    if gpu and processes > len(gpus):
        raise UserError(f"trainer.devices={devices}, but hydra.launcher.gpus has {len(gpus)}: {', '.join(gpus)}.")
    return Need(processes, int(cfg.threads or available_cores()), gpu)


def jobs_that_fit(need: Need, cores: int) -> int:
    """The number of such jobs that fit on the CPU cores at once."""
    return max(1, cores // (need.processes * need.threads))


def usable_gpus(given: Sequence[Any] | None) -> list[str]:
    """The GPUs of `hydra.launcher.gpus`, which must be usable; all available GPUs if it is null."""
    if given is None:
        return available_gpus()
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise invalid_value("hydra.launcher.gpus", given, "a list such as [0,1], or null for all available GPUs")
    names = [str(gpu) for gpu in given]
    if "CUDA_VISIBLE_DEVICES" in os.environ and (others := [name for name in names if name not in available_gpus()]):
        raise UserError(
            f"hydra.launcher.gpus names {', '.join(others)}, but CUDA_VISIBLE_DEVICES allows "
            f"{', '.join(available_gpus()) or 'none'}."
        )
    return names


def available_gpus() -> list[str]:
    """Names of the GPUs this process may use, as in CUDA_VISIBLE_DEVICES; found without initialising CUDA."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in visible.split(",")]
        return list(itertools.takewhile(lambda name: name not in ("", "-1"), names))  # CUDA stops here as well
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.split(":")[0].removeprefix("GPU ") for line in listed.splitlines() if line.startswith("GPU ")]


class GpuPool:
    """GPUs with room for `jobs_per_gpu` jobs each; a job gets distinct GPUs, the least used first."""

    def __init__(self, gpus: Sequence[Any], jobs_per_gpu: int = 1) -> None:
        if jobs_per_gpu < 1:
            raise invalid_value("hydra.launcher.jobs_per_gpu", jobs_per_gpu, "at least 1")
        names = [str(gpu) for gpu in gpus]
        if len(set(names)) < len(names):
            raise UserError(
                f"hydra.launcher.gpus names one twice: {', '.join(names)}. See hydra.launcher.jobs_per_gpu."
            )
        self.room = dict.fromkeys(names, jobs_per_gpu)

    def acquire(self, number: int) -> list[str] | None:
        """Take `number` GPUs; return their names, or None if not enough are free."""
        free = sorted((gpu for gpu, room in self.room.items() if room), key=lambda gpu: -self.room[gpu])
        if len(free) < number:
            return None
        for gpu in free[:number]:
            self.room[gpu] -= 1
        return free[:number]

    def release(self, gpus: Sequence[str]) -> None:
        for gpu in gpus:
            self.room[gpu] += 1
