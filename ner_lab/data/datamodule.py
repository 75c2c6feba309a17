"""The LightningDataModule: loaders over prepared splits, in an order Lightning never changes."""

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ner_lab.data.batch import Batch, BatchMaker, BatchPlan
from ner_lab.data.encode import EncodedSplit
from ner_lab.data.options import DataOptions
from ner_lab.data.prepare import Prepared


class _Batches(Dataset[Batch]):
    """`BatchMaker` as a DataLoader wants it."""

    def __init__(self, maker: BatchMaker) -> None:
        self.maker = maker

    def __getitem__(self, item: Any) -> Batch:
        return self.maker[item]


class _Order(Sampler[Any]):
    """`BatchPlan` as a sampler; Lightning calls `set_epoch` before each epoch."""

    def __init__(self, plan: BatchPlan, maker: BatchMaker) -> None:
        self.plan = plan
        self.maker = maker

    def set_epoch(self, epoch: int) -> None:
        self.plan.set_epoch(epoch)
        self.maker.set_epoch(epoch)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.plan)

    def __len__(self) -> int:
        return len(self.plan)


class NerDataModule(pl.LightningDataModule):
    """Loaders of a prepared data set; sharding over processes is done here (exactly, nothing repeated).

    `batch_size` is the global one: each process gets its part of every batch. Dev is parted
    without repeating a sentence, so summed counts are exact.
    """

    def __init__(self, prepared: Prepared, options: DataOptions, *, seed: int) -> None:
        super().__init__()
        self.prepared = prepared
        self.options = options
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Batch]:
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
        return self._loader(maker, plan)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._eval_loader(self.prepared.splits["dev"])

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._eval_loader(self.prepared.splits["test"])

    def _eval_loader(self, split: EncodedSplit) -> DataLoader[Batch]:
        rank, world = self._place()
        plan = BatchPlan(
            split.sentence_lengths,
            batch_size=None,
            batch_tokens=self.options.eval_batch_tokens,
            shuffle=False,
            rank=rank,
            world=world,
        )
        return self._loader(BatchMaker(split), plan)

    def _loader(self, maker: BatchMaker, plan: BatchPlan) -> DataLoader[Batch]:
        # own generator: a loader that draws from the global one would shift every dropout mask
        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(_Batches(maker), sampler=_Order(plan, maker), batch_size=None, generator=generator)

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
