"""Load planned batches onto the training device."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

from ner_lab.data.batching.batch import Batch, BatchMaker, BatchPlan

T = TypeVar("T")


class BatchLoader:
    """All batches of an epoch, in the plan's order.

    It has no length: Lightning would read the length once, for the first epoch, cut longer epochs to it and skip the
    dev evaluation in shorter ones. Without a length Lightning reads each epoch to its end.

    limit: maximum batches of an epoch (int), or the fraction of its batches (float, rounded down, at least one).

    Many batches are laid out together. For a GPU this happens in a thread during training on the previous ones. They
    are copied to the GPU at once, and each batch is a view of them: a step copies nothing and waits for nothing. At
    most two layouts of about 8,000 tokens each are in memory, however large the corpus.
    """

    def __init__(
        self, maker: BatchMaker, plan: BatchPlan, device: torch.device, *, limit: int | float | None = None
    ) -> None:
        self.maker = maker
        self.plan = plan
        self.device = device
        self.limit = limit
        # Lightning looks here for a `set_epoch` to call before each epoch
        self.sampler, self.batch_sampler = self, None
        self._counted = (-1, 0)  # an epoch and the number of batches planned for it

    def set_epoch(self, epoch: int) -> None:
        self.plan.set_epoch(epoch)
        self.maker.set_epoch(epoch)

    def __iter__(self) -> Iterator[Batch]:
        layouts = self.maker.layouts(islice(self.plan, self.batches_in_epoch))
        if self.device.type == "cpu":
            for layout in layouts:
                yield from layout
        else:
            for layout in one_ahead(layouts):
                yield from layout.to(self.device)

    @property
    def batches_in_epoch(self) -> int:
        """Number of batches in the epoch that was set last."""
        if self._counted[0] != self.plan.epoch:
            self._counted = (self.plan.epoch, len(self.plan))
        planned = self._counted[1]
        if self.limit is None:
            return planned
        return min(planned, max(1, int(planned * self.limit)) if isinstance(self.limit, float) else self.limit)


def one_ahead(values: Iterator[T]) -> Iterator[T]:
    """The same values, each made in a thread while the previous one is used."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, values, end)
        while (value := coming.result()) is not end:
            coming = thread.submit(next, values, end)
            yield value  # type: ignore[misc]
