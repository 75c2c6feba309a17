"""From an order of sentences to batches that lie where they are trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

from ner_lab.data.batch import Batch, BatchMaker, BatchPlan

T = TypeVar("T")


class BatchLoader:
    """All batches of an epoch, in the plan's order.

    Many are laid out together. For a GPU that is done in a thread, while those before are trained on;
    they are copied there in one go, and a batch is views of what lies there: a step copies nothing,
    and waits for nothing. What is held at once is two such layouts of some 8,000 tokens each, however
    large the corpus.
    """

    def __init__(self, maker: BatchMaker, plan: BatchPlan, device: torch.device) -> None:
        self.maker = maker
        self.plan = plan
        self.device = device
        # where Lightning looks for a `set_epoch` to call before each epoch
        self.sampler, self.batch_sampler = self, None
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        self.plan.set_epoch(epoch)
        self.maker.set_epoch(epoch)

    def skip(self, batches: int) -> None:
        """Leave out so many batches at the beginning of the next epoch, which are done already."""
        self._skipped = batches

    def __iter__(self) -> Iterator[Batch]:
        skipped, self._skipped = self._skipped, 0
        layouts = self.maker.layouts(islice(self.plan, skipped, None))
        if self.device.type == "cpu":
            for layout in layouts:
                yield from layout
        else:
            for layout in one_ahead(layouts):
                yield from layout.to(self.device)

    def __len__(self) -> int:
        return len(self.plan)


def one_ahead(values: Iterator[T]) -> Iterator[T]:
    """The same values, each made in a thread while the one before it is used."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, values, end)
        while (value := coming.result()) is not end:
            coming = thread.submit(next, values, end)
            yield value  # type: ignore[misc]
