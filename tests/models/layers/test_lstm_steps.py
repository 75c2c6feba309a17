"""The LSTM's hand-written derivatives against numbers: every kind of peephole, with and without a forget gate."""

import pytest
import torch
from torch import Tensor

from ner_lab.models.layers.lstm_function import LSTMSteps

TIME, BATCH, DIM = 3, 2, 3
PEEPHOLES = {"none": (None, None, None), "vectors": (1, 1, 1), "matrices": (2, 2, 2), "mixed": (2, 1, None)}


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("peepholes", PEEPHOLES.values(), ids=PEEPHOLES)
@pytest.mark.parametrize("gates", [3, 4], ids=["coupled", "forget gate"])
def test_derivatives_are_those_measured(gates: int, peepholes: tuple[int | None, ...]) -> None:
    torch.manual_seed(0)
    first, forget, last = (None if dims is None else drawn(*[DIM] * dims) for dims in peepholes)
    arguments = [drawn(TIME, BATCH, gates * DIM), drawn(gates * DIM, DIM), drawn(BATCH, DIM), drawn(BATCH, DIM)]
    peeps = (first, forget if gates == 4 else None, last)
    assert torch.autograd.gradcheck(lambda *given: LSTMSteps.apply(*given[:4], None, *given[4:]), (*arguments, *peeps))


def test_without_gradients_no_graph_is_kept() -> None:
    with torch.no_grad():
        states = LSTMSteps.apply(*(drawn(*shape) for shape in [(3, 2, 12), (12, 3), (2, 3), (2, 3)]), *[None] * 4)
    assert states.shape == (3, 2, 3)
    assert states.grad_fn is None


@pytest.mark.parametrize("gates", [3, 4], ids=["coupled", "forget gate"])
def test_gradients_to_what_is_given_are_bounded_at_every_step(gates: int) -> None:
    torch.manual_seed(0)
    given, recurrent = drawn(6, BATCH, gates * DIM), drawn(gates * DIM, DIM)
    zero = torch.zeros(BATCH, DIM, dtype=torch.float64)
    found = {}
    for clip in (None, 0.05):
        states = LSTMSteps.apply(given, recurrent, zero, zero, clip, None, None, None)
        (found[clip],) = torch.autograd.grad(states.sum(), given)
    assert (found[None].abs().amax(dim=(1, 2)) > 0.05).all()  # every step has something to clip
    assert (found[0.05].abs().amax(dim=(1, 2)) == 0.05).all()
