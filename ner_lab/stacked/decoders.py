"""Losses of softmax and CRF decoders of all members at once."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ner_lab.decoder.crf import CRF
from ner_lab.decoder.softmax import Softmax
from ner_lab.stacked.batch import StackedBatch
from ner_lab.stacked.chain import log_partition, path_score
from ner_lab.stacked.linear import StackedProjection
from ner_lab.stacked.part import StackedPart
from ner_lab.stacked.streams import Stream


class StackedSoftmax(StackedPart[Softmax]):
    """`Softmax`."""

    def __init__(self, members: Sequence[Softmax], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        self.projection = StackedProjection([member.projection for member in members], self.stack)

    @classmethod
    def fits(cls, members: Sequence[Softmax]) -> bool:
        return StackedProjection.fits([member.projection for member in members])

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """Hidden states (members, batch, time, dim), direct scores or None -> losses (members, batch)."""
        hidden, direct = inputs
        assert hidden is not None
        scores = self.projection(hidden, direct)
        per_token = F.cross_entropy(scores.movedim(3, 1), batch.tags * batch.mask, reduction="none")
        return (per_token * batch.mask).sum(dim=2)


class StackedCRF(StackedPart[CRF]):
    """`CRF`, unless forbidden moves are left out of its likelihood."""

    def __init__(self, members: Sequence[CRF], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        self.projection = StackedProjection([member.projection for member in members], self.stack)
        chains = [member.chain for member in members]
        self.start = self.stack([chain.start for chain in chains])
        self.transitions = self.stack([chain.transitions for chain in chains])
        learnt = "end" in dict(chains[0].named_parameters(recurse=False))
        self.end = self.stack([chain.end for chain in chains]) if learnt else None

    @classmethod
    def fits(cls, members: Sequence[CRF]) -> bool:
        own = StackedProjection.fits([member.projection for member in members])
        return own and all(member.constraints != "always" for member in members)

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """Hidden states (members, batch, time, dim), direct scores or None -> losses (members, batch)."""
        hidden, direct = inputs
        assert hidden is not None
        emissions = self.projection(hidden, direct)
        start, moves = self.start.all, self.transitions.all
        end = start.new_zeros(start.shape) if self.end is None else self.end.all
        score = path_score(emissions, batch.tags, batch.mask, batch.lengths, start, moves, end)
        return log_partition(emissions, batch.mask, batch.lengths, start, moves, end) - score
