"""Random initial values, as in the papers."""

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def glorot(matrix: Tensor, parts: int = 1) -> None:
    """Uniform in +-sqrt(6 / (rows + columns)) (Ma & Hovy 2016, section 3.1; Lample et al. 2016, code).

    parts: how many matrices are stacked in `matrix` along its rows (the gates of a cell); each is
    drawn as a matrix of its own.
    """
    rows, columns = matrix.shape[0] // parts, matrix[0].numel()
    bound = math.sqrt(6 / (rows + columns))
    matrix.uniform_(-bound, bound)


@torch.no_grad()
def embedding_uniform(table: Tensor) -> None:
    """Uniform in +-sqrt(3 / dim) (Ma & Hovy 2016, section 3.1)."""
    bound = math.sqrt(3 / table.shape[-1])
    table.uniform_(-bound, bound)


def linear(input_dim: int, output_dim: int) -> nn.Linear:
    """A linear layer with Glorot weights and zero bias."""
    layer = nn.Linear(input_dim, output_dim)
    glorot(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
