"""The batches of all members at one step, as one: padded to the largest of them."""

from collections.abc import Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ner_lab.data.batch import Batch


class StackedBatch:
    """A batch of each member. Dimensions as in `Batch`, behind a first one of members.

    Where a member has fewer sentences or spellings than others, it gets some of one unknown token or letter,
    which count for nothing (`rows`). Members that share one batch share its memory.
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.alone = list(batches)
        """The batch of each member as its lone run sees it"""
        self.sizes = [(batch.words.shape[0], batch.words.shape[1]) for batch in batches]
        """Sentences and places of each member"""
        self.spellings = [(batch.chars.shape[0], batch.chars.shape[1]) for batch in batches]
        """Distinct spellings of each member, and letters of the longest"""

    def __len__(self) -> int:
        return len(self.alone)

    @cached_property
    def words(self) -> Tensor:
        """(members, batch, time)"""
        return pad([batch.words for batch in self.alone])

    @cached_property
    def forms(self) -> Tensor:
        """(members, batch, time) row of `chars` for each token"""
        return pad([batch.forms for batch in self.alone])

    @cached_property
    def categories(self) -> Tensor:
        """(members, batch, time, columns)"""
        return pad([batch.categories for batch in self.alone])

    @cached_property
    def tags(self) -> Tensor:
        """(members, batch, time)"""
        return pad([batch.tags for batch in self.alone])

    @cached_property
    def chars(self) -> Tensor:
        """(members, forms, letters)"""
        return pad([batch.chars for batch in self.alone])

    @cached_property
    def char_lengths(self) -> Tensor:
        """(members, forms), at least 1"""
        return pad([batch.char_lengths for batch in self.alone], 1)

    @cached_property
    def lengths(self) -> Tensor:
        """(members, batch), at least 1"""
        return pad([batch.lengths for batch in self.alone], 1)

    @cached_property
    def mask(self) -> Tensor:
        """(members, batch, time) bool"""
        return torch.arange(self.words.shape[2], device=self.words.device) < self.lengths[:, :, None]

    @cached_property
    def rows(self) -> Tensor:
        """(members, batch) bool: sentences that a member really has"""
        return pad([torch.ones_like(batch.lengths, dtype=torch.bool) for batch in self.alone])


def pad(parts: Sequence[Tensor], value: float = 0) -> Tensor:
    """Tensors of the same dimensions -> (members, ...), each with `value` behind what it has of the first two."""
    first = parts[0]
    if all(part is first for part in parts):
        return first.expand(len(parts), *first.shape)
    most = [max(part.shape[axis] for part in parts) for axis in range(min(2, first.dim()))]
    padded = []
    for part in parts:
        lacking = [wanted - size for wanted, size in zip(most, part.shape, strict=False)]
        behind = [0, 0] * (part.dim() - len(most)) + [amount for lack in reversed(lacking) for amount in (0, lack)]
        padded.append(F.pad(part, behind, value=value) if any(lacking) else part)
    return torch.stack(padded)
