"""Lightning's Trainer, as the config says."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from ner_lab.config.trainer_checks import check_trainer
from ner_lab.runs.folder import RunFolder
from ner_lab.training.state import StateFile


def trainer_of(
    cfg: DictConfig, run: RunFolder, callbacks: list[pl.Callback], loggers: list[Any], state_file: StateFile
) -> pl.Trainer:
    """Lightning's trainer, as `cfg.trainer` says."""
    check_trainer(cfg.trainer)
    for library in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    return instantiate(
        cfg.trainer,
        limit_train_batches=None,  # the loader's: Lightning takes a share of the first epoch's length
        deterministic=_deterministic(cfg.trainer.deterministic),
        callbacks=callbacks,
        plugins=[state_file],
        logger=loggers or False,
        default_root_dir=str(run.path),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(callback, pl.callbacks.Checkpoint) for callback in callbacks),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )


def _deterministic(given: bool | str | None) -> bool | str | None:
    """What is left to Lightning of `trainer.deterministic`.

    It would say no by a call that imports all of torch's compiler, a second; this one says the same.
    """
    if given is not False:
        return given
    torch.set_deterministic_debug_mode("default")
    return None
