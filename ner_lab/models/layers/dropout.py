"""Dropout (Srivastava et al. 2014) with random numbers that cost little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Sets each number to zero with probability `p` in training, and scales the others by 1 / (1 - p).

    Like `torch.nn.Dropout`, but on a CPU each number uses 16 random bits instead of a draw from a Bernoulli
    distribution, an eighth of the time: `p` is accurate to 1 / 65,536, and the kept numbers are scaled by the actual
    kept fraction.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"the dropout probability must be between 0 and 1; got {p}")
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """values of any shape -> the same shape."""
        if not self.training or not self.p:
            return values
        if not values.is_cpu:
            return F.dropout(values, self.p)
        return values * dropout_mask(values, self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def dropout_mask(like: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """The dropout mask in the shape and type of `like`, on the CPU: 0, or the scale of the kept numbers."""
    levels = round((1 - p) * _LEVELS)
    if levels in (0, _LEVELS):
        return torch.full_like(like, levels / _LEVELS)
    count = like.numel()
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    draws = bits.view(torch.int16)[:count].view(like.shape)  # 4 draws in each
    factors = torch.empty(like.shape, dtype=like.dtype)
    return torch.lt(draws, levels - _LEVELS // 2, out=factors).mul_(_LEVELS / levels)
