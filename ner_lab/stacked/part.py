"""What a part of a stacked tagger is, and the part that runs members one after another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from ner_lab.stacked.batch import StackedBatch, pad
from ner_lab.stacked.streams import Stream
from ner_lab.stacked.weights import StackedWeights

Lone = TypeVar("Lone", bound=nn.Module)


class StackedPart(ABC, Generic[Lone]):
    """The same part of all members, as one: what each member's own would give, up to rounding.

    members: the parts of the members. streams: their random numbers, which are to be drawn as the members
    themselves would draw them.

    A new kind of part joins by a subclass in `ner_lab.stacked.tagger.FORMS`; without one its members run one
    after another.
    """

    def __init__(self, members: Sequence[Lone], streams: Sequence[Stream]) -> None:
        self.members = list(members)
        self.streams = list(streams)
        self.weights: list[StackedWeights] = []
        """All weights that `stack` has stacked"""

    @classmethod
    def fits(cls, members: Sequence[Lone]) -> bool:
        """Whether it does all that these members do; they are of one class and were built alike."""
        return True

    def stack(self, own: Sequence[Any]) -> StackedWeights:
        """One parameter of each member, stacked."""
        self.weights.append(StackedWeights(own))
        return self.weights[-1]

    @abstractmethod
    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """What comes of the batch, and of what the parts before made of it: (members, ...)."""


class OneByOne(StackedPart[nn.Module]):
    """Members run one after another, each on its own batch without padding.

    run: one member on its batch, and on its own part of the inputs.
    """

    def __init__(self, members: Sequence[nn.Module], streams: Sequence[Stream], run: Callable[..., Tensor]) -> None:
        super().__init__(members, streams)
        self.run = run

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """As `StackedPart.__call__`; inputs (members, batch, time, dim)."""
        parts = []
        for number, (member, stream) in enumerate(zip(self.members, self.streams, strict=True)):
            rows, places = batch.sizes[number]
            own = [None if given is None else given[number, :rows, :places] for given in inputs]
            lone = batch.alone[number]
            with stream.running(lone.words.device):
                parts.append(self.run(member, lone, *own))
        return pad(parts)
