"""What becomes of each member of a stack: its folder, log, history, early stopping, checkpoint and end."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from torch import Tensor

from ner_lab.data.batch import Batch
from ner_lab.epoch_log import Diverged, EpochLog
from ner_lab.keeping.best_epoch import checkpoint_of
from ner_lab.lit import TaggerModule
from ner_lab.progress import ProgressFile
from ner_lab.run_folder import RunFolder
from ner_lab.stacked.lit import StackModule
from ner_lab.stacked.loader import StackLoader
from ner_lab.stopping import EarlyStop

log = logging.getLogger(__name__)

_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"  # as lone runs write train.log


@dataclass
class Asked:
    """A run that is asked for. choices, overrides: for its record, as in `ner_lab.train.train`."""

    cfg: DictConfig
    folder: Path
    name: str = "run"
    choices: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = ()


class Member:
    """A run among those of a stack, with the callbacks of a lone one.

    To them it stands for the trainer and for the module: it has the member's own figures, and is the
    trainer for all else.
    """

    is_global_zero = True
    loggers = ()

    def __init__(self, asked: Asked, run: RunFolder, stopping: EarlyStop, *, trained_on_dev: bool) -> None:
        self.asked = asked
        self.run = run
        self.label = asked.name
        """What sets it apart from the others"""
        self.trained_on_dev = trained_on_dev
        self.epochs = EpochLog(trained_on_dev=trained_on_dev)
        self.stopping = stopping
        self.progress = ProgressFile(run.progress)
        self.untrained: dict[str, Tensor] | None = None
        self.callback_metrics: dict[str, Tensor] = {}
        self.should_stop = False
        self.rate = 0.0
        self._trainer: Any = None
        self._averages: dict[str, float] = {}
        self._best = -1.0

    def see(self, trainer: pl.Trainer, rate: float) -> None:
        """Look at the trainer, and at this member's learning rate."""
        self._trainer, self.rate = trainer, rate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)

    @property
    def optimizers(self) -> list[Any]:
        return [SimpleNamespace(param_groups=[{"lr": self.rate}])]

    def averages(self) -> dict[str, float]:
        """Those of the epoch of training that ends."""
        return self._averages

    def scored(self, figures: dict[str, Tensor], module: TaggerModule) -> None:
        """Take the figures of dev: they are judged, and the best epoch is kept."""
        self.callback_metrics |= figures
        itself: Any = self
        self.stopping.on_validation_end(itself, module)
        self.progress.on_validation_end(itself, module)
        if not self.trained_on_dev and float(figures["dev/f1"]) > self._best:
            self._best = float(figures["dev/f1"])
            self.keep(module)

    def epoch_ends(self, averages: dict[str, float], module: TaggerModule) -> None:
        """Write the epoch down; raises `Diverged`."""
        self._averages = averages
        itself: Any = self
        self.epochs.on_train_epoch_end(itself, itself)
        if self.trained_on_dev:
            self.keep(module)

    def keep(self, module: TaggerModule) -> None:
        """Write what the checkpoint of the lone run would hold."""
        self.run.write_checkpoint(checkpoint_of(module, self.current_epoch, self.global_step))

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Within, what is logged goes to this member's train.log alone."""
        root = logging.getLogger()
        handler = logging.FileHandler(self.run.path / "train.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter(_LINE))
        others, root.handlers = root.handlers, [handler]
        try:
            yield
        finally:
            root.handlers = others
            handler.close()


class Members(pl.Callback):
    """Leads each member through the epochs as Lightning would lead its lone run; one that stops leaves the stack.

    ended: called with the number of a member when it has stopped, and how it failed, if it did.
    """

    loader: StackLoader

    def __init__(self, members: Sequence[Member], ended: Callable[[int, Diverged | None], None]) -> None:
        self.members = list(members)
        self.ended = ended
        self._began = 0.0

    def _going(self, trainer: pl.Trainer, module: StackModule) -> Iterator[tuple[int, Any]]:
        for number in module.going:
            member = self.members[number]
            member.see(trainer, module.rate(number))
            yield number, member

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for _, member in self._going(trainer, _stack(pl_module)):
            member.progress.on_train_start(member, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = time.perf_counter()
        for _, member in self._going(trainer, _stack(pl_module)):
            member.epochs.on_train_epoch_start(member, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: list[Batch], batch_idx: int
    ) -> None:
        for (_, member), own in zip(self._going(trainer, _stack(pl_module)), batch, strict=True):
            member.epochs.on_train_batch_end(member, pl_module, outputs, own, batch_idx)
            member.progress.on_train_batch_end(member, pl_module, outputs, own, batch_idx)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for _, member in self._going(trainer, _stack(pl_module)):
            member.epochs.on_validation_start(member, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stack = _stack(pl_module)
        for number, member in self._going(trainer, stack):
            module = stack.member(number)
            member.scored(module.dev_figures(), module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stack = _stack(pl_module)
        stopped: dict[int, Diverged | None] = {}
        for number, member in self._going(trainer, stack):
            try:
                with member.speaking():
                    member.epoch_ends(stack.averages_of(number), stack.member(number))
            except Diverged as error:
                stopped[number] = error
            else:
                if member.should_stop:
                    stopped[number] = None
        self._show(trainer, stack)
        if not stopped:
            return
        going = [number for number in stack.going if number not in stopped]
        for number, failure in stopped.items():
            self.ended(number, failure)
        if going:
            stack.keep(going)
            self.loader.keep(going)
        else:
            stack.going = []
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stack = _stack(pl_module)
        for number in stack.going:
            self.ended(number, None)
        stack.going = []

    def _show(self, trainer: pl.Trainer, stack: StackModule) -> None:
        """A line for the epoch."""
        seconds = time.perf_counter() - self._began
        rate = sum(stack.tokens[number] for number in stack.going) / seconds
        scores = []
        for number in stack.going:
            epochs = self.members[number].epochs
            if epochs.history and epochs.history[-1]["epoch"] == trainer.current_epoch + 1:
                best = epochs.best is epochs.history[-1] and not epochs.trained_on_dev
                scores.append(f"{self.members[number].label} {epochs.history[-1]['dev']['f1']:.2f}{'*' * best}")
        log.info(
            "epoch %d/%s  dev F1  %s  %.1f s  %s tokens/s",
            trainer.current_epoch + 1,
            trainer.max_epochs,
            "  ".join(scores),
            seconds,
            f"{rate:,.0f}",
        )


def _stack(module: pl.LightningModule) -> StackModule:
    assert isinstance(module, StackModule)
    return module
