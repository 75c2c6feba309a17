"""Progress display and history of a training, with one entry per epoch."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from rich.progress import TextColumn

from ner_lab.data.batching.batch import Batch
from ner_lab.data.batching.datamodule import batches_in_epoch
from ner_lab.errors import UserError
from ner_lab.io.terminal import bar, is_terminal

log = logging.getLogger(__name__)

_INTERVAL = 1.0  # seconds between two looks at the loss: a GPU has to be waited for


class Diverged(UserError):
    """The training loss is NaN, infinite or too large."""


def _per_type(numbers: Mapping[str, float]) -> dict[str, float]:
    """Dev F1 of each entity type, from metrics logged as `dev/TYPE/f1`."""
    parts = {name: name.split("/") for name in numbers}
    return {part[1]: numbers[name] for name, part in parts.items() if len(part) == 3 and part[::2] == ["dev", "f1"]}


def curves_of_training(entry: Mapping[str, Any]) -> dict[str, float]:
    """The training metrics of an epoch, as logged to trackers."""
    curves = {f"train/{name}": entry[name] for name in ("tokens_per_second", "learning_rate", "gradient_norm")}
    return {**curves, "train/loss": entry["train_loss"], "epoch": entry["epoch"]}


def curves_of(entry: Mapping[str, Any]) -> dict[str, float]:
    """All metrics of an epoch, as logged to trackers."""
    curves = {f"dev/{name}": value for name, value in entry["dev"].items() if name != "per_type"}
    curves |= {f"dev/{name}/f1": value for name, value in entry["dev"]["per_type"].items()}
    curves |= {"dev/loss": entry["dev_loss"], **curves_of_training(entry)}
    return {name: value for name, value in curves.items() if value is not None}


class EpochLog(pl.Callback):
    """A progress bar over all epochs with loss, dev F1 and time left; without a terminal, one line per epoch.

    trained_on_dev: dev is training data. keeps_last: the last epoch is kept, since dev chooses none.
    """

    def __init__(self, *, trained_on_dev: bool = False, keeps_last: bool = False) -> None:
        self.trained_on_dev = trained_on_dev
        self.keeps_last = keeps_last or trained_on_dev
        self.history: list[dict[str, Any]] = []
        """An entry for each epoch that was scored."""
        self.steps: list[int] = []
        """Steps done by the end of each epoch of the history."""
        self.trained = 0
        """Number of the last epoch trained, scored or not."""
        self.unscored: list[int] = []
        """Epochs that should have been scored on dev and were not."""
        self.tokens = 0
        self.training_seconds = 0.0
        """Time in training steps, without dev scoring and checkpoints."""
        self._bar = bar(TextColumn("{task.fields[loss]}  {task.fields[f1]}"))
        self._task: Any = None
        self._started = 0.0
        self._epoch_tokens = 0
        self._epoch_seconds: float | None = None
        self._learning_rate = 0.0
        self._shown = -_INTERVAL

    def state_dict(self) -> dict[str, Any]:
        """What is known after an epoch."""
        return {
            "history": list(self.history),
            "steps": list(self.steps),
            "trained": self.trained,
            "unscored": list(self.unscored),
            "tokens": self.tokens,
            "training_seconds": self.training_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.steps = list(state_dict["history"]), list(state_dict["steps"])
        self.trained, self.unscored = state_dict["trained"], list(state_dict["unscored"])
        self.tokens, self.training_seconds = state_dict["tokens"], state_dict["training_seconds"]

    def log_history(self, loggers: Sequence[Logger]) -> None:
        """Log all epochs of the history, as they were logged one by one."""
        for entry, step in zip(self.history, self.steps, strict=True):
            for logger in loggers:
                logger.log_metrics(curves_of(entry), step)

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.training_seconds if self.training_seconds else 0.0

    @property
    def best(self) -> dict[str, Any]:
        """The entry of the first epoch with the best dev F1."""
        return max(self.history, key=lambda entry: (entry["dev"]["f1"], -entry["epoch"]))

    @property
    def unscored_failure(self) -> str | None:
        """What is missing from the history, as the reason of a failed run; None if it is complete."""
        if not self.unscored:
            return None
        numbers = ", ".join(map(str, self.unscored))
        return f"dev was not scored after epoch {numbers}: the epoch kept and early stopping may be wrong"

    @property
    def kept(self) -> int:
        """Number of the epoch whose checkpoint is kept."""
        return self.trained if self.keeps_last else self.best["epoch"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and is_terminal():
            batches = batches_in_epoch(trainer)
            total, done = batches * (trainer.max_epochs or 1), batches * trainer.current_epoch
            self._bar.start()
            self._task = self._bar.add_task("training", total=total, completed=done, loss="", f1="")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = time.perf_counter()
        self._epoch_tokens = 0
        self._epoch_seconds = None
        self._learning_rate = trainer.optimizers[0].param_groups[0]["lr"]  # at the end it is the next epoch's

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._epoch_tokens += batch.global_tokens
        if self._task is None:
            return
        self._bar.update(self._task, advance=1)
        if (now := time.monotonic()) - self._shown >= _INTERVAL:
            self._shown = now
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar.update(self._task, description=epoch, loss=f"loss {float(outputs['loss']):.3f}")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_seconds = time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        numbers = {name: float(value) for name, value in trainer.callback_metrics.items()} | pl_module.averages()  # type: ignore[operator]
        loss = numbers["train/loss"]
        if not math.isfinite(loss):
            raise Diverged(
                f"training diverged: the loss of epoch {trainer.current_epoch + 1} is {loss}. "
                "Lower optimizer.lr, or clip gradients (optimizer.clip=norm optimizer.clip_value=5)."
            )
        self.trained = trainer.current_epoch + 1
        if self._epoch_seconds is None:
            due = self.trained % (trainer.check_val_every_n_epoch or 1) == 0
            if due and trainer.is_last_batch:  # not one that max_steps or max_time cut short
                self.unscored.append(self.trained)
            return
        self.tokens += self._epoch_tokens
        self.training_seconds += self._epoch_seconds
        rate = self._epoch_tokens / self._epoch_seconds
        entry: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "train_loss": loss,
            "dev_loss": numbers["dev/loss"] if math.isfinite(numbers["dev/loss"]) else None,
            "dev": {name: numbers[f"dev/{name}"] for name in ("precision", "recall", "f1", "accuracy")}
            | {"per_type": _per_type(numbers)},
            "learning_rate": self._learning_rate,
            "seconds": self._epoch_seconds,
            "tokens_per_second": rate,
            "gradient_norm": numbers["train/gradient_norm"],
        }
        self.history.append(entry)
        self.steps.append(trainer.global_step)
        for logger in trainer.loggers:
            logger.log_metrics(curves_of_training(entry), trainer.global_step)
        if trainer.is_global_zero:
            self._show(trainer, entry)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._bar.stop()

    def _show(self, trainer: pl.Trainer, entry: dict[str, Any]) -> None:
        f1, best = entry["dev"]["f1"], self.best
        dev, note = ("dev (trained on)", "") if self.trained_on_dev else ("dev", f" (best {best['dev']['f1']:.2f})")
        if self._task is not None:
            self._bar.update(self._task, f1=f"{dev} F1 {f1:.2f}{note}")
        mark = "*" if best is entry and not self.keeps_last else " "
        log.info(
            "epoch %*d/%d  loss %.4f  %s P %.2f R %.2f F1 %.2f%s  %.1f s  %s tokens/s",
            len(str(trainer.max_epochs)),
            entry["epoch"],
            trainer.max_epochs,
            entry["train_loss"],
            dev,
            entry["dev"]["precision"],
            entry["dev"]["recall"],
            f1,
            mark,
            entry["seconds"],
            f"{entry['tokens_per_second']:,.0f}",
        )
