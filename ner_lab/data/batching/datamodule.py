"""The LightningDataModule: loaders over prepared splits, in an order that Lightning does not change."""

from typing import Any

import pytorch_lightning as pl
import torch

from ner_lab.data.batching.batch import BatchMaker, BatchPlan, tokens_at_once
from ner_lab.data.batching.loader import BatchLoader
from ner_lab.data.encoding import EncodedSplit
from ner_lab.data.options import DataOptions
from ner_lab.data.preparation import Prepared


class NerDataModule(pl.LightningDataModule):
    """Loaders of a prepared data set; sharding over processes is done here (exactly, nothing repeated).

    `batch_size` is the global one: each process gets its share of every batch. Dev is sharded without repeating a
    sentence, so summed counts are exact.

    limit: batches of train in an epoch, a number or a fraction; see `BatchLoader`.
    """

    def __init__(
        self, prepared: Prepared, options: DataOptions, *, seed: int, limit: int | float | None = None
    ) -> None:
        super().__init__()
        self.prepared = prepared
        self.options = options
        self.seed = seed
        self.limit = limit

    def train_dataloader(self) -> BatchLoader:
        split = self.prepared.splits["train"]
        maker = BatchMaker(split, singleton_unk=self.options.singleton_unk, seed=self.seed)
        rank, world = self._place()
        plan = BatchPlan(
            split.sentence_lengths,
            batch_size=self.options.batch_size if self.options.batch_tokens is None else None,
            batch_tokens=self.options.batch_tokens,
            group_by_length=self.options.group_by_length,
            seed=self.seed,
            rank=rank,
            world=world,
        )
        loader = self._loader(maker, plan, self.limit)
        # the loader has no length, so Lightning fetches a first batch before it sets the epoch
        loader.set_epoch(getattr(self.trainer, "current_epoch", 0))
        return loader

    def val_dataloader(self) -> BatchLoader:
        return self._eval_loader(self.prepared.splits["dev"])

    def test_dataloader(self) -> BatchLoader:
        return self._eval_loader(self.prepared.splits["test"])

    def _eval_loader(self, split: EncodedSplit) -> BatchLoader:
        rank, world = self._place()
        plan = BatchPlan(
            split.sentence_lengths,
            batch_size=None,
            batch_tokens=tokens_at_once(self.options.eval_batch_tokens, len(self.prepared.vocabs.tags)),
            shuffle=False,
            rank=rank,
            world=world,
        )
        return self._loader(BatchMaker(split), plan)

    def _loader(self, maker: BatchMaker, plan: BatchPlan, limit: int | float | None = None) -> BatchLoader:
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        return BatchLoader(maker, plan, device, limit=limit)

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)


def batches_in_epoch(trainer: pl.Trainer) -> int:
    """Number of batches of train in the current epoch; it may differ from one epoch to the next."""
    loader: Any = trainer.train_dataloader
    return loader.batches_in_epoch
