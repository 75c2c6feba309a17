"""Watches over the steps of a training: saves its state, stops it when it is told to or diverges, takes it up again."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch

from ner_lab.data.batching.batch import Batch
from ner_lab.data.batching.loader import BatchLoader
from ner_lab.errors import Interrupted, UserError
from ner_lab.runs.folder import RunFolder
from ner_lab.training.callbacks.divergence import Divergence, Step, gradient_norm
from ner_lab.training.callbacks.history import Diverged, EpochLog
from ner_lab.training.module import TaggerModule
from ner_lab.training.signals import StopSignals
from ner_lab.training.state import Keeps, Place, give_back, give_back_stream, take

_BESIDE_OTHERS = 10  # steps between two looks where several processes must agree
_ON_GPU = 50  # where looking at a loss means waiting for the GPU


class Watch(pl.callbacks.Checkpoint):
    """Stands behind all other callbacks (as Lightning places those of its kind).

    signals: what asks training to stop. epochs, callbacks: those whose state belongs to the training's.
    every: seconds between two states on the disk; None saves only when told to stop.
    explode_above: loss of a token at which training is stopped.
    begun: a state to go on from. about: further facts kept with each state.

    Where several processes train, they look after the same steps and do the same: one that was told to
    stop, or whose loss is no number, takes the others with it.
    """

    def __init__(
        self,
        run: RunFolder,
        signals: StopSignals,
        epochs: EpochLog,
        callbacks: Mapping[str, Keeps],
        *,
        every: float | None,
        explode_above: float,
        begun: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if every is not None and every < 0:
            raise UserError(f"state_every is {every}. It is a number of seconds, 0 or more, or null.")
        if not explode_above > 0:
            raise UserError(f"explode_above is {explode_above}. It is a loss of a token, above 0.")
        self.run = run
        self.signals = signals
        self.epochs = epochs
        self.callbacks = {**callbacks, "epochs": epochs}
        self.every = every
        self.divergence = Divergence(explode_above)
        self.begun = begun
        self.about = dict(about or {})
        self._seconds_before = Place(**begun["place"]).seconds if begun is not None else 0.0
        self._started = self._saved = time.monotonic()
        self._looks_every = 1
        self._norm_before: torch.Tensor | None = None
        self._stopping = False

    @property
    def seconds(self) -> float:
        """That training took, those before it was taken up again included."""
        return self._seconds_before + time.monotonic() - self._started

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.take()  # Lightning has put its own there
        self.signals.training = True
        self._started = self._saved = time.monotonic()
        self._looks_every = steps_between_looks(pl_module.device, trainer.world_size)
        _check_that_all_go_on_from_the_same(trainer, self.begun)
        if self.begun is not None:
            for name, callback in self.callbacks.items():
                callback.load_state_dict(self.begun["callbacks"][name])
            give_back(self.begun, trainer, _tagger_module(pl_module))
            _set_counters(trainer, Place(**self.begun["place"]))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.begun is not None:
            if (place := Place(**self.begun["place"])).batches:
                _enter_epoch(trainer, place)
            return
        if trainer.current_epoch and self._agreed(trainer, self._due)[1]:
            self._save(trainer, pl_module, trainer.current_epoch, 0)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if self.begun is not None:
            give_back_stream(self.begun, trainer, _tagger_module(pl_module))
            if self.begun["place"]["batches"]:
                self.epochs.enter_epoch()
            self.begun = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        module = _tagger_module(pl_module)
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        loss = module.batch_loss * (trainer.world_size / batch.global_tokens)
        self.divergence.add(Step(trainer.current_epoch + 1, batch_idx + 1, loss, batch.sentences, rate))
        done = batch_idx + 1
        last = trainer.is_last_batch
        if done % self._looks_every and not last:
            return
        bad = self.divergence.first()
        stop, due, diverged = self._agreed(trainer, self._due, bad is not None)
        if diverged:
            self._raise(trainer, bad, self._norm_of(module) if bad is not None and bad.number == done else None)
        if module.batch_norm is not None:
            self._norm_before = module.batch_norm
        if last or done % trainer.accumulate_grad_batches:  # behind a last batch dev is scored first
            return
        if stop or due:
            self._save(trainer, pl_module, trainer.current_epoch, done)
        if stop:
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._agreed(trainer, False)[
            0
        ]:  # the rates of the next epoch are not set yet: the state is saved behind that
            self._stopping = trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._agreed(trainer, self._due)[1] or self._stopping:
            self._save(trainer, pl_module, trainer.current_epoch, 0)
        if self._stopping:
            self._stop(trainer)
        self.signals.training = False

    def _agreed(self, trainer: pl.Trainer, due: bool, bad: bool = False) -> tuple[bool, bool, bool]:
        """Whether to stop, to save the state, and whether the loss is bad, for any of the processes."""
        asked = self.signals.asked is not None or trainer.received_sigterm
        if trainer.world_size == 1:
            return asked, due, bad
        found = torch.tensor(
            [asked, due and trainer.is_global_zero, bad], dtype=torch.int, device=trainer.strategy.root_device
        )
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        asked, due, bad = (bool(one) for one in found.tolist())
        return asked, due, bad

    @property
    def _due(self) -> bool:
        return self.every is not None and time.monotonic() - self._saved >= self.every

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule, epochs: int, batches: int) -> None:
        ended = not batches and _has_ended(trainer) and not self._stopping
        place = Place(epochs, batches, trainer.global_step, ended, self.seconds)
        state = take(trainer, _tagger_module(module), self.callbacks, place)
        if state is not None:
            self.run.write_state({**state, "about": self.about})
        self._saved = time.monotonic()

    def _stop(self, trainer: pl.Trainer) -> None:
        name = self.signals.asked.name if self.signals.asked is not None else "another process"
        raise Interrupted(f"stopped by {name}; its state is saved")

    @staticmethod
    def _norm_of(module: TaggerModule) -> float:
        """Of the gradient of the latest step."""
        return float(module.batch_norm) if module.batch_norm is not None else gradient_norm(module)

    def _raise(self, trainer: pl.Trainer, bad: Step | None, norm: float | None) -> None:
        before = float(self._norm_before) if self._norm_before is not None else None
        said = self.divergence.describe(bad, norm, before) if bad is not None else None
        if trainer.world_size > 1:
            found: list[str | None] = [None] * trainer.world_size
            torch.distributed.all_gather_object(found, said)
            said = next(one for one in found if one is not None)
        assert said is not None
        raise Diverged(said)


def steps_between_looks(device: torch.device, processes: int) -> int:
    """Steps after which losses, signals and the clock are looked at."""
    if device.type != "cpu":
        return _ON_GPU
    return _BESIDE_OTHERS if processes > 1 else 1


def _tagger_module(module: pl.LightningModule) -> TaggerModule:
    assert isinstance(module, TaggerModule)
    return module


def _check_that_all_go_on_from_the_same(trainer: pl.Trainer, begun: Mapping[str, Any] | None) -> None:
    if trainer.world_size == 1:
        return
    found: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(found, begun and begun["place"])
    if any(place != found[0] for place in found):
        raise UserError(f"processes go on from different states: {found}. Start the training again.")
    if begun is not None and len(begun["ranks"]) != trainer.world_size:
        raise UserError(
            f"the state is that of {len(begun['ranks'])} processes, and {trainer.world_size} are to go on. "
            "Give as many devices as before."
        )


def _has_ended(trainer: pl.Trainer) -> bool:
    """Whether nothing is left to train after the epoch that has just ended."""
    steps, epochs = trainer.max_steps, trainer.max_epochs or 0
    return (
        trainer.should_stop
        or (steps != -1 and trainer.global_step >= steps)
        or (epochs != -1 and trainer.current_epoch >= epochs)
    )


def _set_counters(trainer: pl.Trainer, place: Place) -> None:
    """Count on from where training stood, as if this trainer had done it all."""
    fit = trainer.fit_loop
    _count(fit.epoch_progress.total, place.epochs)
    _count(fit.epoch_progress.current, place.epochs)
    steps = fit.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    steps.ready = steps.completed = place.steps
    fit.epoch_loop._batches_that_stepped = place.steps


def _count(counts: Any, number: int) -> None:
    counts.ready = counts.started = counts.processed = counts.completed = number


def _enter_epoch(trainer: pl.Trainer, place: Place) -> None:
    """Have the loop over this epoch's batches begin behind those that were done.

    The loop is told that it starts again; it then counts on from its `batch_progress`, and leaves the iterator of
    batches to us.
    """
    fit, loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
    _count(loop.batch_progress.current, place.batches)
    loop.batch_progress.is_last_batch = False
    loop.restarting = True
    loop._batches_that_stepped = place.steps - 1  # a loop that starts again counts the step under way
    loader = trainer.train_dataloader
    assert isinstance(loader, BatchLoader)
    assert fit._data_fetcher is not None
    loader.skip(place.batches)
    iter(fit._data_fetcher)
