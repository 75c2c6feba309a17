"""Writes a checkpoint after each epoch, resumes from it, and stops a training on a signal or when it diverges."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch

from ner_lab.data.batching.batch import Batch
from ner_lab.errors import Interrupted, UserError, invalid_value
from ner_lab.runs.folder import RunFolder
from ner_lab.training.callbacks.best_checkpoint import BestEpoch
from ner_lab.training.callbacks.divergence import Divergence, Step, gradient_norm
from ner_lab.training.callbacks.history import Diverged
from ner_lab.training.module import TaggerModule
from ner_lab.training.signals import StopSignals
from ner_lab.training.state import (
    TrainingProgress,
    generators_of_all_ranks,
    of_all_ranks,
    restore_generators,
    start_next_epoch,
)

_STEPS_WITH_SEVERAL_PROCESSES = 10  # they must agree
_STEPS_ON_GPU = 50  # looking at a loss means waiting for the GPU


class ResumeCallback(pl.callbacks.Checkpoint):
    """Runs after all other callbacks, where Lightning places checkpoint callbacks.

    signals: what asks training to stop. best: knows which epoch is in best.ckpt.
    max_loss: loss of a token at which training is stopped.
    resumed: the checkpoint that Lightning resumes from. about: further facts for each checkpoint.

    Several processes check after the same steps and act alike: one that got a signal, or whose loss is not a
    number, stops the others as well.
    """

    def __init__(
        self,
        run: RunFolder,
        signals: StopSignals,
        best: BestEpoch,
        *,
        max_loss: float,
        resumed: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not max_loss > 0:
            raise invalid_value("max_loss", max_loss, "a loss per token, above 0")
        self.run = run
        self.signals = signals
        self.best = best
        self.divergence = Divergence(max_loss)
        self.resumed = resumed
        self.about = dict(about or {})
        self._epochs = 0
        self._seconds_before = TrainingProgress(**resumed["progress"]).seconds if resumed is not None else 0.0
        self._started = time.monotonic()
        self._steps_between_checks = 1
        self._norm_before: torch.Tensor | None = None

    @property
    def seconds(self) -> float:
        """Training time, including that before training was resumed."""
        return self._seconds_before + time.monotonic() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.take()  # from Lightning, which has set its own handlers
        self.signals.training = True
        self._started = time.monotonic()
        self._epochs = trainer.current_epoch
        self._steps_between_checks = steps_between_looks(pl_module.device, trainer.world_size)
        _check_that_all_resume_the_same(trainer, self.resumed)
        if self.resumed is None:
            trainer.save_checkpoint(self.run.state, weights_only=False)
        else:  # Lightning has restored the rest
            restore_generators(self.resumed["generators"][trainer.global_rank], pl_module.device)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        start_next_epoch(checkpoint["loops"]["fit_loop"])
        progress = TrainingProgress(self._epochs, self.best.epoch, _has_ended(trainer, self._epochs), self.seconds)
        checkpoint["progress"] = asdict(progress)
        checkpoint["generators"] = generators_of_all_ranks(trainer, pl_module.device)
        checkpoint["about"] = self.about

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._agreed(trainer)[0]:
            self._stop()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TaggerModule)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        loss = pl_module.batch_loss * (trainer.world_size / batch.global_tokens)
        done = batch_idx + 1
        self.divergence.add(Step(trainer.current_epoch + 1, done, loss, batch.sentences, rate))
        last = trainer.is_last_batch
        if done % self._steps_between_checks and not last:
            return
        bad = self.divergence.first()
        stop, diverged = self._agreed(trainer, bad is not None)
        if diverged:
            self._raise(trainer, bad, _norm_of(pl_module) if bad is not None and bad.number == done else None)
        if pl_module.batch_norm is not None:
            self._norm_before = pl_module.batch_norm
        if stop and not last:  # after the last batch the epoch is finished and saved first
            self._stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epochs = trainer.current_epoch + 1
        trainer.save_checkpoint(self.run.state, weights_only=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._agreed(trainer)[0]:
            self._stop()
        self.signals.training = False

    def _agreed(self, trainer: pl.Trainer, bad: bool = False) -> tuple[bool, bool]:
        """Whether any of the processes got a stop signal, and whether any has a bad loss."""
        asked = self.signals.asked is not None or trainer.received_sigterm
        if trainer.world_size == 1:
            return asked, bad
        either = torch.tensor([asked, bad], dtype=torch.int, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(either, torch.distributed.ReduceOp.MAX)
        asked, bad = (bool(one) for one in either.tolist())
        return asked, bad

    def _stop(self) -> None:
        name = self.signals.asked.name if self.signals.asked is not None else "another process"
        when = f"after epoch {self._epochs}" if self._epochs else "before the first step"
        raise Interrupted(f"stopped by {name}; the checkpoint {when} is kept")

    def _raise(self, trainer: pl.Trainer, bad: Step | None, norm: float | None) -> None:
        before = float(self._norm_before) if self._norm_before is not None else None
        messages = of_all_ranks(trainer, self.divergence.describe(bad, norm, before) if bad is not None else None)
        raise Diverged(next(message for message in messages if message is not None))


def steps_between_looks(device: torch.device, processes: int) -> int:
    """Steps after which losses and signals are checked."""
    if device.type != "cpu":
        return _STEPS_ON_GPU
    return _STEPS_WITH_SEVERAL_PROCESSES if processes > 1 else 1


def _norm_of(module: TaggerModule) -> float:
    """Norm of the gradient at the latest step."""
    return float(module.batch_norm) if module.batch_norm is not None else gradient_norm(module)


def _check_that_all_resume_the_same(trainer: pl.Trainer, resumed: Mapping[str, Any] | None) -> None:
    progress = of_all_ranks(trainer, resumed and resumed["progress"])
    if any(one != progress[0] for one in progress):
        raise UserError(f"processes resume from different checkpoints: {progress}. Start the training again.")
    if resumed is not None and len(resumed["generators"]) != trainer.world_size:
        raise UserError(
            f"the checkpoint is of {len(resumed['generators'])} processes, and {trainer.world_size} are to resume. "
            "Set as many devices as before."
        )


def _has_ended(trainer: pl.Trainer, epochs: int) -> bool:
    """Whether no epoch is left to train after so many."""
    all_steps = trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps
    return trainer.should_stop or all_steps or epochs == trainer.max_epochs
