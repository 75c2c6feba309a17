"""The batches of all members, step by step."""

from collections.abc import Iterator, Sequence

from ner_lab.data.batch import Batch
from ner_lab.data.loader import BatchLoader
from ner_lab.errors import UserError

BATCHES_DIFFER = (
    "data.batch_tokens without data.group_by_length cuts the epochs of different seeds into different numbers of "
    "batches, and a stack needs one number. Give data.group_by_length=true or data.batch_size, or train the seeds as "
    "jobs of their own (hydra/launcher=process)."
)


class StackLoader:
    """At each step a batch of each member that is still trained, in the member's own order.

    loaders: of the members, or one for all of them. members: how many there are.
    """

    def __init__(self, loaders: Sequence[BatchLoader], members: int) -> None:
        self.loaders = list(loaders)
        self.going = list(range(members))
        self.members = members
        self.sampler, self.batch_sampler = self, None  # where Lightning looks for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        for loader in self.loaders:
            loader.set_epoch(epoch)
        assert self.batches_in_epoch  # refuses epochs that differ between members

    def keep(self, going: Sequence[int]) -> None:
        """Go on with these members alone."""
        self.going = list(going)

    def __iter__(self) -> Iterator[list[Batch]]:
        if len(self.loaders) == 1:
            for batch in self.loaders[0]:
                yield [batch] * len(self.going)
        else:
            for batches in zip(*(self.loaders[number] for number in self.going), strict=True):
                yield list(batches)

    @property
    def batches_in_epoch(self) -> int:
        steps = {loader.batches_in_epoch for loader in self.loaders}
        if len(steps) > 1:
            raise UserError(BATCHES_DIFFER)
        return steps.pop()
