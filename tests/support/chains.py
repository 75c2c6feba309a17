"""Random scores of chains, and all paths through them."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def normal(*shape: int, seed: int = 0, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths: Sequence[int]) -> Tensor:
    """-> (batch, longest) bool."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def close(value: Tensor, expected: Tensor, *, rtol: float = 0.0, atol: float = 1e-4) -> None:
    torch.testing.assert_close(value.double(), expected.double(), rtol=rtol, atol=atol)


def all_paths(emissions: Tensor, start: Tensor, moves: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Every tag sequence (paths, time), and its score (paths,) in double precision.

    emissions (time, tags), start and end (tags,), moves (from, to), or (time, from, to) if each step has its own.
    """
    time, num_tags = emissions.shape
    paths = torch.tensor(list(product(range(num_tags), repeat=time)))
    emissions, start, moves, end = (scores.detach().double() for scores in (emissions, start, moves, end))
    scores = start[paths[:, 0]] + end[paths[:, -1]]
    for step in range(time):
        scores = scores + emissions[step, paths[:, step]]
    for step in range(1, time):
        matrix = moves[step] if moves.dim() == 3 else moves
        scores = scores + matrix[paths[:, step - 1], paths[:, step]]
    return paths, scores
