"""No encoder, for all members."""

from torch import Tensor

from ner_lab.encoder.none import NoEncoder
from ner_lab.stacked.batch import StackedBatch
from ner_lab.stacked.part import StackedPart
from ner_lab.stacked.streams import drop


class StackedNoEncoder(StackedPart[NoEncoder]):
    """Hands its input on, with each member's dropout."""

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """inputs (members, batch, time, dim) -> the same shape."""
        (given,) = inputs
        assert given is not None
        return drop(given, [member.dropout for member in self.members], batch.sizes, self.streams)
