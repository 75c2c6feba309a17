"""The LightningDataModule: loaders over prepared splits, in an order Lightning never changes."""

import pytorch_lightning as pl
import torch

from ner_lab.data.batch import BatchMaker, BatchPlan
from ner_lab.data.encode import EncodedSplit
from ner_lab.data.loader import BatchLoader
from ner_lab.data.options import DataOptions
from ner_lab.data.prepare import Prepared


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
        return self._loader(maker, plan)

    def val_dataloader(self) -> BatchLoader:
        return self._eval_loader(self.prepared.splits["dev"])

    def test_dataloader(self) -> BatchLoader:
        return self._eval_loader(self.prepared.splits["test"])

    def _eval_loader(self, split: EncodedSplit) -> BatchLoader:
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

    def _loader(self, maker: BatchMaker, plan: BatchPlan) -> BatchLoader:
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        return BatchLoader(maker, plan, device)

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
