"""The maximum entropy Markov model against its definition."""

from itertools import product

import pytest
import torch
from torch import Tensor

from ner_lab.errors import UserError
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


def local_scores(memm: MEMM, state: Tensor, before: int) -> Tensor:
    """The scores of a token's tags behind tag number `before`, 3 for the border, from the weights as they lie."""
    if memm.projection.__class__.__name__ == "PairProjection":
        layer = memm.projection.layers[0]
        own = slice(3 * before, 3 * before + 3)
        return layer.weight[own] @ state + layer.bias[own]
    layer = memm.projection.emissions.layers[0]
    return layer.weight @ state + layer.bias + memm.projection.transitions[before]


@pytest.mark.parametrize("previous", ["shared", "each"])
def test_a_sentences_probability_is_the_product_of_a_softmax_at_each_token(previous: str) -> None:
    memm = memm_of(previous)
    hidden, direct = normal(1, 3, 4), normal(1, 3, 3, seed=1)
    paths = list(product(range(3), repeat=3))
    expected = []
    for path in paths:
        probability, before = torch.tensor(1.0), 3
        for step, tag in enumerate(path):
            scores = local_scores(memm, hidden[0, step], before) + direct[0, step]
            probability = probability * torch.softmax(scores, dim=0)[tag]
            before = tag
        expected.append(probability)
    many = len(paths)
    mask = torch.ones(many, 3, dtype=torch.bool)
    losses = memm.loss(hidden.expand(many, -1, -1), torch.tensor(paths), mask, direct.expand(many, -1, -1))
    torch.testing.assert_close(torch.exp(-losses), torch.stack(expected))
    best = memm.decode(hidden, mask[:1], direct)[0].tolist()
    assert best == list(paths[int(torch.stack(expected).argmax())])


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


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"decoder\.previous is 'own'\. It takes shared or each"):
        memm_of("own")
    with pytest.raises(UserError, match=r"decoder\.constraints is 'always'\. It takes none or decode"):
        MEMM(input_dim=4, tags=TAGS, scheme="IOB2", hidden_dim=0, previous="each", constraints="always")
