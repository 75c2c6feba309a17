"""Several runs trained as one, from their configs to a run folder of each."""

import logging
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig

from ner_lab.build import data_options_of, feature_set_of, word_embedding_of
from ner_lab.choices import short_names
from ner_lab.data.datamodule import NerDataModule
from ner_lab.data.options import DataOptions
from ner_lab.data.prepare import Prepared, prepare
from ner_lab.epoch_log import Diverged
from ner_lab.errors import UserError
from ner_lab.lit import TaggerModule
from ner_lab.logger.tracker import Tracker
from ner_lab.run_folder import RunFolder, absolute_paths
from ner_lab.stacked.lit import StackModule
from ner_lab.stacked.loader import BATCHES_DIFFER, StackLoader
from ner_lab.stacked.members import Asked, Member, Members
from ner_lab.stacked.streams import Stream
from ner_lab.study.state import job_name
from ner_lab.terminal import download_bar
from ner_lab.threads import set_threads
from ner_lab.train import (
    check_values,
    config_of,
    facts_of,
    fail,
    figures_of,
    finish,
    say_what_is_trained,
    stopping_of,
    tracker_of,
    trainer_of,
    untrained_module,
)

log = logging.getLogger(__name__)

OWN, SHARED = "own", "shared"
"""Whose order of batches members train in."""


class Stack:
    """Runs of one shape: all of their configs but the keys of `ner_lab.stacked.shape.FREE` are the same.

    order: `own`, each member's batches are those of its lone run; `shared`, all train on the first one's.
    together: see `StackedTagger`; None leaves it to the device.
    """

    def __init__(self, asked: Sequence[Asked], *, order: str = OWN, together: bool | None = None) -> None:
        for one in asked:
            check_values(one.cfg)
        if order not in (OWN, SHARED):
            raise UserError(f"hydra.launcher.order is '{order}'. It takes {OWN} or {SHARED}.")
        cfg = asked[0].cfg
        if order == OWN and len(asked) > 1 and cfg.data.batch_tokens is not None and not cfg.data.group_by_length:
            raise UserError(BATCHES_DIFFER)
        if cfg.trainer.accumulate_grad_batches > 1:
            raise UserError(
                "trainer.accumulate_grad_batches cannot be above 1 in a stack. Raise data.batch_size, or train the "
                "runs as jobs of their own (hydra/launcher=process)."
            )
        self.asked = list(asked)
        self.order = order
        self.together = together
        self.outcomes: list[dict[str, Any] | Exception] = [UserError("not trained") for _ in asked]

    def train(self) -> list[dict[str, Any] | Exception]:
        """Train all members; of each what stands in its metrics.json, or why it failed."""
        runs = [RunFolder(one.folder) for one in self.asked]
        try:
            for one, run in zip(self.asked, runs, strict=True):
                absolute_paths(one.cfg)
                run.begin_anew(one.cfg, one.choices, one.overrides)
            self._train(runs)
        finally:
            for run in runs:
                run.release()
        return self.outcomes

    def _train(self, runs: Sequence[RunFolder]) -> None:
        begun = time.perf_counter()
        cfg = self.asked[0].cfg
        deterministic = bool(cfg.trainer.deterministic)
        set_threads(cfg.threads, deterministic=deterministic)
        self.options = data_options_of(cfg)
        self.members = [
            Member(one, run, stopping_of(one.cfg, self.options), trained_on_dev=self.options.trains_on_dev)
            for one, run in zip(self.asked, runs, strict=True)
        ]
        self.prepared = prepare(self.options, feature_set_of(cfg), word_embedding_of(cfg), download_bar())
        self.data_seconds = time.perf_counter() - begun
        modules, streams = build_members([one.cfg for one in self.asked], self.prepared)
        for member, module in zip(self.members, modules, strict=True):
            member.untrained = module.tagger.transition_scores()
            with member.speaking():
                say_what_is_trained(self.options, self.prepared, module.tagger, self.data_seconds)
        for module in modules:
            set_threads(cfg.threads, module.tagger, deterministic=deterministic)
        self.module = StackModule(modules, streams, together=self.together)
        callback = Members(self.members, self._end)
        trainer = trainer_of(cfg, runs[0], [callback], [])
        seeds = [one.cfg.seed for one in self.asked]
        callback.loader = stack_loader(
            self.prepared, self.options, seeds, self.order, trainer, cfg.trainer.limit_train_batches
        )
        labels = short_names(job_name(run) for run in runs)
        for member in self.members:
            member.label = labels[job_name(member.run)]
        log.info("%d runs as one: %s", len(runs), "  ".join(member.label for member in self.members))
        self.started = time.perf_counter()
        try:
            dev = loaders_of(self.prepared, self.options, cfg.seed, trainer).val_dataloader()
            trainer.fit(self.module, train_dataloaders=callback.loader, val_dataloaders=dev)
        except SystemExit:  # Lightning's answer to Ctrl-C
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise

    def _end(self, number: int, failure: Diverged | None) -> None:
        """Leave what the lone run leaves at its end; what fails here fails this member alone."""
        member, module = self.members[number], self.module.member(number)
        try:
            with member.speaking():
                self.outcomes[number] = self._leave(member, module, failure)
        except Exception as error:
            self.outcomes[number] = error
        finally:
            member.run.release()

    def _leave(self, member: Member, module: TaggerModule, failure: Diverged | None) -> dict[str, Any]:
        cfg, run, epochs = member.asked.cfg, member.run, member.epochs
        figures = figures_of(cfg, self.options, self.prepared, epochs, module.tagger)
        figures |= {
            "train_seconds": time.perf_counter() - self.started,
            "data_seconds": self.data_seconds,
            "stacked": len(self.members),
        }
        tracker = tracker_of(cfg)
        failed = True
        try:
            replay(tracker, member, module, self.prepared)
            if failure is not None:
                fail(run, tracker, str(failure), figures, epochs)
                raise failure
            metrics = finish(cfg, run, tracker, self.options, self.prepared, epochs, figures, member.untrained)
            failed = metrics["status"] == "failed"
        finally:
            tracker.close(failed)
        return metrics


def build_members(cfgs: Sequence[DictConfig], prepared: Prepared) -> tuple[list[TaggerModule], list[Stream]]:
    """The untrained modules, each as its lone run builds it, and the random numbers that come next in each."""
    modules, streams = [], []
    for cfg in cfgs:
        modules.append(untrained_module(cfg, prepared))
        streams.append(Stream(cfg.seed, torch.get_rng_state()))
    return modules, streams


def stack_loader(
    prepared: Prepared,
    options: DataOptions,
    seeds: Sequence[int],
    order: str,
    trainer: pl.Trainer | None = None,
    limit: int | float | None = None,
) -> StackLoader:
    """The batches of all members, each in its own order, or all in the first one's; they lie where `trainer` trains."""
    chosen = seeds if order == OWN else seeds[:1]
    return StackLoader(
        [loaders_of(prepared, options, seed, trainer, limit).train_dataloader() for seed in chosen], len(seeds)
    )


def loaders_of(
    prepared: Prepared,
    options: DataOptions,
    seed: int,
    trainer: pl.Trainer | None,
    limit: int | float | None = None,
) -> NerDataModule:
    """The data as a member's lone run has them."""
    data = NerDataModule(prepared, options, seed=seed, limit=limit)
    data.trainer = trainer
    return data


def replay(tracker: Tracker, member: Member, module: TaggerModule, prepared: Prepared) -> None:
    """Tell a tracker all epochs of a member, as its lone run would have told them one by one."""
    run, name = member.run, member.asked.name
    loggers = tracker.open(run.path, name, config_of(module), facts_of(run, module.tagger, prepared))
    member.epochs.tell(loggers)
    for logger in loggers:
        logger.finalize("success")
