"""The maximum entropy Markov model against its definition."""

from itertools import product

import pytest
import torch
from torch import Tensor

from ner_lab.models.decoder.memm import MEMM

TAGS = ["O", "B-PER", "I-PER"]


def memm_of(previous: str, input_dim: int = 4) -> MEMM:
    """An MEMM whose weights are drawn from a normal distribution."""
    memm = MEMM(input_dim=input_dim, tags=TAGS, scheme="IOB2", hidden_dim=0, previous=previous, constraints="none")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in memm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return memm


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("previous", ["shared", "each"])
def test_a_later_word_never_changes_the_probability_of_an_earlier_tag(previous: str) -> None:
    memm = memm_of(previous)
    hidden = normal(1, 3, 4).expand(9, -1, -1)
    other = torch.cat([hidden[:, :1], 5 * normal(9, 2, 4, seed=3)], dim=1)
    mask = torch.ones(9, 3, dtype=torch.bool)
    for first in range(3):
        tags = torch.tensor([[first, *rest] for rest in product(range(3), repeat=2)])
        shares = torch.exp(-memm.loss(hidden, tags, mask)).sum()
        others = torch.stack([torch.exp(-memm.loss(other[[k]].expand(9, -1, -1), tags, mask)).sum() for k in range(9)])
        torch.testing.assert_close(others, shares.expand(9))


def test_each_previous_tag_has_weights_of_its_own_only_where_asked_for() -> None:
    assert {tuple(p.shape) for p in memm_of("shared").parameters()} == {(3, 4), (3,), (4, 3)}
    assert {tuple(p.shape) for p in memm_of("each").parameters()} == {(12, 4), (12,)}
    shared, each = memm_of("shared"), memm_of("each")
    layer = shared.projection.emissions.layers[0]
    with torch.no_grad():  # the same weights behind every tag: nothing is left to tell the two apart
        each.projection.layers[0].weight.copy_(layer.weight.repeat(4, 1))
        each.projection.layers[0].bias.copy_((layer.bias + shared.projection.transitions).flatten())
    hidden, tags, mask = normal(2, 5, 4), torch.randint(3, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(shared.loss(hidden, tags, mask), each.loss(hidden, tags, mask))
