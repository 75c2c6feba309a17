"""From a plan of batches to batches on the device they are trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

from ner_lab.data.batching.batch import Batch, BatchMaker, BatchPlan

T = TypeVar("T")


class BatchLoader:
    """All batches of an epoch, in the plan's order.

    It has no length: Lightning would read that once, for the first epoch, and cut longer epochs to it and leave dev
    unscored in shorter ones. Without a length it reads each epoch to its end.

    limit: batches of an epoch at most (int), or the share of its batches (float, rounded down, at least one).

    Many are laid out together. For a GPU that is done in a thread, while those before are trained on;
    they are copied there in one go, and a batch is views of what lies there: a step copies nothing,
    and waits for nothing. What is held at once is two such layouts of some 8,000 tokens each, however
    large the corpus.
    """

    def __init__(
        self, maker: BatchMaker, plan: BatchPlan, device: torch.device, *, limit: int | float | None = None
    ) -> None:
        self.maker = maker
        self.plan = plan
        self.device = device
        self.limit = limit
        # where Lightning looks for a `set_epoch` to call before each epoch
        self.sampler, self.batch_sampler = self, None
        self._counted = (-1, 0)  # an epoch and the batches planned for it

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
    """The same values, each made in a thread while the one before it is used."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, values, end)
        while (value := coming.result()) is not end:
            coming = thread.submit(next, values, end)
            yield value  # type: ignore[misc]
