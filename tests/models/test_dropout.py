"""Dropout's mean, spread, independence and gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.models.layers.dropout import Dropout, dropout_mask


def dropping(p: float) -> Dropout:
    return Dropout(p).train()


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_the_share_dropped_is_p_and_the_mean_stays(p: float, seed: int) -> None:
    count = 200_000
    factors = dropout_mask(torch.empty(count), p, torch.Generator().manual_seed(seed))
    assert sorted(factors.unique().tolist()) == pytest.approx([0.0, 1 / (1 - p)], rel=1e-3)
    off = 5 * (p * (1 - p) / count) ** 0.5  # five standard deviations
    assert (factors == 0).double().mean().item() == pytest.approx(p, abs=off + 1 / 65536)
    assert factors.double().mean().item() == pytest.approx(1.0, abs=off / (1 - p))


def test_neighbours_are_dropped_independently() -> None:
    """Four draws share 64 random bits: none tells of another, in the same number or in the next."""
    gone = (dropout_mask(torch.empty(400_000), 0.3, torch.Generator().manual_seed(1)) == 0).double()
    for apart in range(1, 9):
        both = (gone[apart:] * gone[:-apart]).mean().item()
        assert both == pytest.approx(0.09, abs=5 * (0.09 * 0.91 / 400_000) ** 0.5)
    for place in range(4):
        assert gone[place::4].mean().item() == pytest.approx(0.3, abs=5 * (0.21 / 100_000) ** 0.5)


def test_only_numbers_that_are_not_dropped_get_a_gradient() -> None:
    values = torch.randn(50, 7, requires_grad=True)
    dropped = dropping(0.4)(values)
    dropped.sum().backward()
    assert torch.equal(values.grad == 0, dropped == 0)
    assert torch.allclose(dropped, values * values.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 0), (2, 3, 5)])
def test_shape_and_type_stay(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    dropped = dropping(0.5)(torch.ones(shape, dtype=dtype))
    assert dropped.shape == shape
    assert dropped.dtype == dtype


def test_p_of_one_leaves_nothing_and_a_tiny_p_drops_next_to_nothing() -> None:
    assert not dropping(1.0)(torch.ones(100)).any()
    assert dropping(1e-7)(torch.ones(100)).equal(torch.ones(100))


def test_draws_follow_the_global_seed_as_torchs_own_do() -> None:
    layer, values = dropping(0.5), torch.ones(1000)
    torch.manual_seed(3)
    first, second = layer(values), layer(values)
    torch.manual_seed(3)
    assert first.equal(layer(values))
    assert not first.equal(second)
