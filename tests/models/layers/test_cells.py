"""Cells against their equations, written plainly for one sentence; gradients against autograd through these."""

import pytest
import torch
from torch import Tensor, nn

from ner_lab.models.layers.recurrent import Recurrence

CELLS = ["stock", "peephole", "coupled", "rnn"]
CLIPS = [None, 0.2]


def layer_of(cell: str, clip: float | None = None, *, learn: bool = True) -> Recurrence:
    torch.manual_seed(0)
    layer = Recurrence(cell, 4, 3, clip_gradient=clip, learn_initial=learn).double()
    for parameter in layer.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    return layer


def sentences(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, 4, generator=generator, dtype=torch.float64).requires_grad_()


def clipped(sums: Tensor, clip: float | None, seen: list[Tensor]) -> Tensor:
    """The sums; the gradient that comes back to them is kept in `seen` and, with a bound, cut."""

    def hook(grad: Tensor) -> Tensor:
        seen.append(grad)
        return grad if clip is None else grad.clamp(-clip, clip)

    sums.register_hook(hook)
    return sums


def plain(cell: str, layer: Recurrence, sentence: Tensor, clip: float | None, seen: list[Tensor]) -> Tensor:
    """sentence (time, dim) -> states (time, hidden_dim), by the equations, word by word."""
    own, sigmoid, tanh = layer.cell, torch.sigmoid, torch.tanh
    states, h = [], layer.initial[0]
    c = h if cell == "rnn" else layer.initial[1]
    for x in sentence:
        sums = clipped(own.weight_ih_l0 @ x + own.weight_hh_l0 @ h + own.bias_ih_l0, clip, seen).split(3)
        if cell == "rnn":
            h = tanh(sums[0])
        elif cell == "coupled":  # Lample et al. 2016, section 2.1
            to_input, to_output = own.peepholes
            i = sigmoid(sums[0] + to_input @ c)
            c = (1 - i) * c + i * tanh(sums[1])
            h = sigmoid(sums[2] + to_output @ c) * tanh(c)
        else:  # Huang et al. 2015, section 2.1
            to_input, to_forget, to_output = own.peepholes if cell == "peephole" else (0, 0, 0)
            i, f = sigmoid(sums[0] + to_input * c), sigmoid(sums[1] + to_forget * c)
            c = f * c + i * tanh(sums[2])
            h = sigmoid(sums[3] + to_output * c) * tanh(c)
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("cell", CELLS)
def test_states_follow_the_equations(cell: str, clip: float | None) -> None:
    layer, inputs = layer_of(cell, clip), sentences(2, 5)
    for row in range(2):
        torch.testing.assert_close(layer(inputs)[row], plain(cell, layer, inputs[row], clip, []))


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_those_of_the_equations(cell: str, clip: float | None) -> None:
    layer, inputs, seen = layer_of(cell, clip), sentences(2, 5), []
    wanted = [inputs, *(parameter for parameter in layer.parameters() if parameter.requires_grad)]
    expected = torch.stack([plain(cell, layer, sentence, clip, seen) for sentence in inputs])
    gradients = [torch.autograd.grad(states.sin().sum(), wanted) for states in (layer(inputs), expected)]
    for found, oracle in zip(*gradients, strict=True):
        assert oracle.abs().max() > 0
        torch.testing.assert_close(found, oracle)
    if clip is not None:  # otherwise nothing was tested
        assert len(seen) == 2 * 5
        assert sum(bool((grad.abs() > clip).any()) for grad in seen) >= 5


def test_peepholes_start_as_no_peepholes() -> None:
    torch.manual_seed(0)
    peephole, stock = Recurrence("peephole", 4, 3), Recurrence("stock", 4, 3)
    stock.load_state_dict(peephole.state_dict(), strict=False)
    inputs = sentences(2, 5).float()
    torch.testing.assert_close(peephole(inputs), stock(inputs))
    peephole(inputs).sum().backward()
    assert peephole.cell.peepholes.grad.ne(0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_mixed_precision_around_the_loop_works(cell: str) -> None:
    layer, inputs = Recurrence(cell, 4, 3, clip_gradient=1.0), sentences(2, 5).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = layer(inputs)
    torch.testing.assert_close(states.float(), layer(inputs), atol=0.05, rtol=0.05)
    states.float().sum().backward()
    assert layer.cell.weight_hh_l0.grad.dtype == torch.float32
