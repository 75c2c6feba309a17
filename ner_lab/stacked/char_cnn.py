"""Character CNNs of all members as one."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ner_lab.char_encoder.cnn import ACTIVATIONS, CharCNN
from ner_lab.stacked.batch import StackedBatch
from ner_lab.stacked.linear import StackedLinear
from ner_lab.stacked.lookup import look_up
from ner_lab.stacked.part import StackedPart
from ner_lab.stacked.streams import Stream, drop


class StackedCharCNN(StackedPart[CharCNN]):
    """`CharCNN` whose words are laid out side by side, as on a GPU; not with words filled up to a length."""

    def __init__(self, members: Sequence[CharCNN], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        self.table = self.stack([member.embedding.weight for member in members])
        self.convolution = StackedLinear([member.convolution for member in members], self.stack)

    @classmethod
    def fits(cls, members: Sequence[CharCNN]) -> bool:
        return members[0].fill_to is None

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """-> (members, forms, num_filters)."""
        first = self.members[0]
        letters = look_up(self.table.all, batch.chars)
        letters = drop(letters, [member.dropout for member in self.members], batch.spellings, self.streams)
        letters = F.pad(letters, (0, 0, first.padding, first.padding))  # (members, forms, padded, char_dim)
        places = letters.shape[2] - first.window + 1
        windows = torch.cat([letters[:, :, shift : shift + places] for shift in range(first.window)], dim=-1)
        filtered = ACTIVATIONS[first.activation](self.convolution(windows))
        counts = batch.char_lengths + 2 * first.padding - first.window + 1
        real = torch.arange(places, device=letters.device) < counts[:, :, None]
        return filtered.masked_fill(~real[..., None], -torch.inf).amax(dim=2)
