"""Words with their neighbours, as in the networks of Collobert et al. 2011."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.models.layers.init import embedding_uniform
from ner_lab.models.layers.masking import real_tokens, require_odd


class Windows(nn.Module):
    """Concatenates each word's vector with those of its neighbours; outside the sentence there is a learnt vector.

    input_dim: dimensions of a word's vector.
    window: number of words, the word itself in the middle.
    """

    def __init__(self, *, input_dim: int, window: int) -> None:
        super().__init__()
        require_odd(window)
        self.reach = window // 2
        self.outside = nn.Parameter(torch.empty(1, input_dim))
        embedding_uniform(self.outside)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, dim), lengths (batch,) -> (batch, time, window * dim), from left to right."""
        time = inputs.shape[1]
        wide = F.pad(inputs, (0, 0, self.reach, self.reach))  # (batch, time + 2 reach, dim)
        real = F.pad(real_tokens(lengths, time), (self.reach, self.reach))
        return side_by_side(torch.where(real[:, :, None], wide, self.outside.to(wide.dtype)), time)


def side_by_side(vectors: Tensor, places: int) -> Tensor:
    """vectors (..., time, dim) -> (..., positions, window * dim): a run of neighbours from each position."""
    window = vectors.shape[-2] - places + 1
    return torch.cat([vectors[..., shift : shift + places, :] for shift in range(window)], dim=-1)
