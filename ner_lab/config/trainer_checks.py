"""Check settings outside the parts: when to save and to stop, the study, and Lightning's trainer.

Lightning checks some of these late, in the middle of training, or not at all.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.strategies import StrategyRegistry
from torch import nn

from ner_lab.errors import UserError, invalid_value, nearest

_STRATEGIES = (
    *("auto", "single_device", "ddp"),
    *("ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true"),
)
"""Strategies that leave the trained weights and the history in the process that writes the run folder."""
_DAYS = re.compile(r"\d+:\d{1,2}:\d{1,2}:\d{1,2}")
_PARTS_OF_TIME = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}
_MOST_EPOCHS = 1_000_000
_PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "32", "64", "16", "bf16")
_CLUSTERS = ("NODE_RANK", "GROUP_RANK", "SLURM_JOB_ID", "LSB_JOBID", "OMPI_COMM_WORLD_SIZE", "KUBERNETES_PORT")
"""Environment variables, each of which shows that processes are started on several machines."""


def check_settings(cfg: DictConfig) -> None:
    """Refuse invalid settings outside the parts, before anything is read or written."""
    _require("max_loss", cfg.max_loss, lambda value: _number(value) and value > 0, _LOSS)
    for key in ("factors", "published"):
        _require(f"study.{key}", cfg.study.get(key), lambda value: isinstance(value, DictConfig), "{KEY: VALUE, ...}")
    check_trainer(cfg.trainer)


def note_on_precision(precision: object) -> str | None:
    """One line on why dev scores of the history can differ from those of metrics.json; None if they cannot."""
    if not str(precision).startswith(("16", "bf16")):
        return None
    return (
        f"trainer.precision={precision}: the history scores dev in this precision, and metrics.json scores the epoch "
        "kept in 32-true, as evaluate and predict do; the two can differ"
    )


def check_trainer(trainer: DictConfig) -> None:
    """Refuse invalid trainer settings by key; further settings of Lightning's are left to it."""
    given: Any = OmegaConf.to_container(trainer, resolve=True)
    for key, (fits, expected) in _TRAINER.items():
        if key in given:
            _require(f"trainer.{key}", given[key], fits, expected)
    _check_hardware(given)
    every, epochs = given.get("check_val_every_n_epoch", 1), given.get("max_epochs")
    if epochs is not None and every > epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch is {every}, and trainer.max_epochs is {epochs}: dev would never be "
            f"scored, and no epoch chosen. Take at most {epochs}."
        )
    if (nodes := given.get("num_nodes", 1)) > 1 and not any(name in os.environ for name in _CLUSTERS):
        raise UserError(
            f"trainer.num_nodes is {nodes}, and nothing here says which of the machines this is: it would wait for the "
            "others for ever. Start it by Slurm (srun) or torchrun, or set NODE_RANK and MASTER_ADDR on each."
        )


def check_precision(trainer: DictConfig, model: nn.Module) -> None:
    """Refuse an LSTM in bf16 on a CPU where torch does not support it: it would fail at the first step. RNN and GRU
    work.
    """
    on_cpu = _trains_on_cpu(trainer.accelerator)
    has_lstm = any(isinstance(module, nn.LSTM) for module in model.modules())
    if on_cpu and has_lstm and str(trainer.precision) in ("bf16-mixed", "bf16") and not has_half_precision_lstm():
        raise UserError(
            f"trainer.precision is {trainer.precision}, and torch has no LSTM in bf16 for this processor (it needs "
            "AVX-512). Set trainer.precision=32-true, or choose parts without an LSTM (encoder=cnn "
            "char_encoder=cnn)."
        )


def has_half_precision_lstm() -> bool:
    """Whether torch runs an LSTM on this processor under autocast to bf16."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        try:
            nn.LSTM(2, 2)(torch.zeros(1, 1, 2))
        except RuntimeError:
            return False
    return True


def _trains_on_cpu(accelerator: object) -> bool:
    """Whether `trainer.accelerator` means the CPU on this machine."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return accelerator == "cpu" or (accelerator == "auto" and not has_gpu)


def _check_hardware(given: Mapping[str, Any]) -> None:
    """Check that this machine and Lightning support the settings."""
    wanted, strategy = given.get("accelerator"), given.get("strategy", "auto")
    found: dict[str, Callable[[], bool]] = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    kinds = {"gpu": ("cuda", "mps"), "cuda": ("cuda",), "mps": ("mps",)}.get(str(wanted), ())
    if kinds and not any(found[kind]() for kind in kinds):
        raise UserError(
            f"trainer.accelerator is {wanted}, and torch finds no such device here. Train on the CPU, trainer=cpu, or "
            "check driver, CUDA_VISIBLE_DEVICES and torch's build."
        )
    if _trains_on_cpu(wanted) and str(given.get("precision")) in ("16-mixed", "16"):
        raise UserError(
            f"trainer.precision is {given['precision']}, which needs a GPU: on a CPU, Lightning would train in "
            "bf16-mixed instead. Set trainer.precision=32-true, or bf16-mixed."
        )
    if strategy not in _STRATEGIES:
        known = strategy in StrategyRegistry.available_strategies()
        why = ", which starts or divides processes in a way that loses what they train." if known else ""
        raise UserError(
            f"trainer.strategy is {strategy}{why or nearest(strategy, _STRATEGIES)} "
            f"It must be one of {', '.join(_STRATEGIES)}."
        )
    if strategy == "single_device" and _number_of(given.get("devices")) > 1:
        raise UserError(
            f"trainer.strategy is single_device, and trainer.devices is {given['devices']}: all but one would be "
            "idle. Set trainer.devices=1, or trainer.strategy=ddp."
        )
    if wanted == "cpu":
        _check_processes(given.get("devices"))


def _number_of(devices: Any) -> int:
    """Number of devices in a setting; 1 if it leaves the number open."""
    if isinstance(devices, str):
        return len([one for one in devices.split(",") if one.strip()])
    return len(devices) if isinstance(devices, list) else int(devices or 1)


def _check_processes(devices: Any) -> None:
    cores = os.cpu_count() or 1
    most = max(8, 2 * cores)
    if isinstance(devices, int) and devices > most:
        raise UserError(
            f"trainer.devices must be from 1 to {most} on a CPU; got {devices}. More processes than {cores} cores can "
            "run only wait for each other."
        )


def _require(key: str, value: Any, fits: Callable[[Any], bool], expected: str) -> None:
    if not fits(value):
        raise invalid_value(key, value, expected)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _from_one(value: Any, most: int = 1_000_000_000) -> bool:
    return type(value) is int and 1 <= value <= most


def _or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _time(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and set(value) <= _PARTS_OF_TIME and all(_number(one) and one >= 0 for one in value.values())
    return isinstance(value, str) and _DAYS.fullmatch(value) is not None


def _batches(value: Any) -> bool:
    return _from_one(value) or (type(value) is float and 0 < value <= 1)


def _devices(value: Any) -> bool:
    if isinstance(value, str):
        return value == "auto" or (re.fullmatch(r"-1|\d+(,\d+)*,?", value) is not None and value != "0")
    if isinstance(value, list):
        return bool(value) and all(type(one) is int and one >= 0 for one in value)
    return _from_one(value) or (type(value) is int and value == -1)


def _word(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


_LOSS = "a loss of a token, above 0"
_TRAINER: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "accelerator": (
        lambda value: value in ("auto", "cpu", "gpu", "cuda", "mps"),
        "cpu, gpu or auto (also cuda and mps)",
    ),
    "devices": (_devices, "a number of processes or devices from 1, -1 or auto for all, or a list of them, [0,1]"),
    "num_nodes": (_from_one, "a whole number of machines from 1"),
    "strategy": (_word, f"one of {', '.join(_STRATEGIES)}"),
    "precision": (
        lambda value: not _plain(value) and str(value) in _PRECISIONS,
        f"one of {', '.join(_PRECISIONS[:6])}",
    ),
    "max_epochs": (
        lambda value: _from_one(value, _MOST_EPOCHS),
        f"a whole number from 1 to {_MOST_EPOCHS:,}; early_stopping.patience or trainer.max_time end training before",
    ),
    "max_steps": (lambda value: _from_one(value) or value == -1, "a whole number from 1, or -1 for no limit"),
    "max_time": (_or_null(_time), "days, hours, minutes and seconds, '00:02:30:00', or {hours: 2}, or null"),
    "limit_train_batches": (
        _or_null(_batches),
        "a whole number of batches from 1, a share of them as 0.5, or null for all",
    ),
    "deterministic": (lambda value: _plain(value) or value == "warn", "true, false or warn"),
    "accumulate_grad_batches": (_from_one, "a whole number of batches from 1"),
    "check_val_every_n_epoch": (_from_one, "a whole number of epochs from 1"),
    "log_every_n_steps": (lambda value: _from_one(value) or value == 0, "a whole number of steps from 1, or 0"),
    "detect_anomaly": (lambda value: isinstance(value, bool), "true or false"),
    "profiler": (
        _or_null(lambda value: value in ("simple", "advanced", "pytorch")),
        "simple, advanced, pytorch or null",
    ),
}
