"""Keeps the weights of the best epoch."""

import math
from typing import Any

import pytorch_lightning as pl

from ner_lab.runs.folder import RunFolder


class BestEpoch(pl.callbacks.Checkpoint):
    """Writes `checkpoints/best.ckpt` whenever an epoch has a better dev F1 than all before it.

    last: the last epoch is kept in place of the best, whatever its score (dev is trained on).

    Lightning calls checkpoint callbacks after all others, so an epoch that diverged is never kept.
    """

    def __init__(self, run: RunFolder, *, last: bool) -> None:
        self.run = run
        self.last = last
        self.epoch: int | None = None
        """Number of the epoch kept."""
        self._best = -math.inf

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the epoch just scored; among equal ones the first is kept."""
        if not self.last and (f1 := float(trainer.callback_metrics["dev/f1"])) > self._best:
            self._best = f1
            self._keep(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.last:
            self._keep(trainer, pl_module)

    def _keep(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.epoch = trainer.current_epoch + 1
        if trainer.is_global_zero:
            self.run.write_checkpoint(checkpoint_of(module, trainer.current_epoch, trainer.global_step))

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self._best = state_dict["epoch"], state_dict["best"]


def checkpoint_of(module: pl.LightningModule, epoch: int, steps: int) -> dict[str, Any]:
    """The content of best.ckpt: weights and what the tagger is rebuilt from, under Lightning's keys.

    epoch: as Lightning counts them, from 0. steps: of the optimizer so far.
    """
    # copies: weights may be views of something larger, which would be written as a whole
    weights = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
    return {
        "epoch": epoch,
        "global_step": steps,
        "pytorch-lightning_version": pl.__version__,
        "state_dict": weights,
        "hparams_name": "kwargs",
        "hyper_parameters": dict(module.hparams),
    }
