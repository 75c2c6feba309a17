"""Writes the progress of a training to a file, for `ner-lab sweep --status`."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from ner_lab.data.batching.datamodule import batches_in_epoch

_INTERVAL = 1.0  # seconds between two writings


class ProgressFile(pl.Callback):
    """Keeps `progress.json` of a run folder: epoch begun, epochs in all, share of all steps done, dev F1 and the best.

    Progress is relative to `max_epochs`; early stopping jumps to 100 %.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = -_INTERVAL
        self._f1: float | None = None
        self._best: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, 0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._write(trainer, batch_idx + 1)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if (f1 := trainer.callback_metrics.get("dev/f1")) is not None:
            self._f1 = float(f1)
            self._best = max(self._f1, self._best if self._best is not None else self._f1)

    def _write(self, trainer: pl.Trainer, steps: int) -> None:
        """Replaced atomically, without flushing to disk: nothing depends on it."""
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._written < _INTERVAL:
            return
        self._written = now
        epochs = trainer.max_epochs or 1
        of_this = steps / max(1, batches_in_epoch(trainer))
        progress = {
            "epoch": trainer.current_epoch + 1,
            "epochs": epochs,
            "share": min(1.0, (trainer.current_epoch + of_this) / epochs) if epochs > 0 else 0.0,
            "f1": self._f1,
            "best": self._best,
        }
        draft = self.path.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(progress), encoding="utf-8")
            os.replace(draft, self.path)
        except OSError as error:  # the run's other files would meet the same, and its name helps
            with suppress(OSError):
                draft.unlink()
            error.filename = str(self.path)
            raise
