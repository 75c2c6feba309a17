"""No character encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NoChars(nn.Module):
    """Gives every word a vector of no dimensions."""

    output_dim = 0

    def __init__(self, *, chars: Sequence[str]) -> None:
        super().__init__()

    def forward(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """chars (forms, characters), lengths (forms,) -> (forms, 0)."""
        return torch.zeros((chars.shape[0], 0), device=chars.device)
