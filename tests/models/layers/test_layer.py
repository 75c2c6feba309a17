"""Recurrent layers without packing: reversal, starting values, equality with torch's own cells."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.models.layers.recurrent import Recurrence, reorder, reversal

CELLS = ["stock", "peephole", "coupled", "rnn"]
TORCHS = [("stock", nn.LSTM), ("rnn", nn.RNN)]


def inputs_of(batch: int = 3, time: int = 5, dim: int = 4) -> Tensor:
    return torch.randn(batch, time, dim, generator=torch.Generator().manual_seed(0))


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), spare=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_turning_round_twice_changes_nothing_and_once_reverses_each_sentence(lengths: list[int], spare: int) -> None:
    time = max(lengths) + spare
    order = reversal(torch.tensor(lengths), time)
    values = inputs_of(len(lengths), time)
    turned = reorder(values, order)
    assert torch.equal(reorder(turned, order), values)
    for row, length in enumerate(lengths):
        assert torch.equal(turned[row, :length], values[row, :length].flip(0))
        assert torch.equal(turned[row, length:], values[row, length:])


@pytest.mark.parametrize(("cell", "module"), TORCHS)
def test_states_equal_torchs_own_cell_with_the_same_weights(cell: str, module: type[nn.RNNBase]) -> None:
    layer = Recurrence(cell, 4, 3, forget_bias=1.0)
    oracle = module(4, 3, batch_first=True)
    oracle.load_state_dict(layer.cell.state_dict())
    assert torch.equal(layer(inputs_of()), oracle(inputs_of())[0])


@pytest.mark.parametrize(("cell", "module"), TORCHS)
def test_without_clipping_the_stock_cells_run_on_torchs_own_kernels(cell: str, module: type[nn.RNNBase]) -> None:
    assert type(Recurrence(cell, 4, 3).cell) is module
    assert not isinstance(Recurrence(cell, 4, 3, clip_gradient=5.0).cell, nn.RNNBase)


@pytest.mark.parametrize("clip", [None, 5.0])
@pytest.mark.parametrize("cell", CELLS)
def test_learnt_initial_state_starts_at_zero_and_gets_a_gradient(cell: str, clip: float | None) -> None:
    layer = Recurrence(cell, 4, 3, clip_gradient=clip, learn_initial=True)
    plain = Recurrence(cell, 4, 3, clip_gradient=clip)
    plain.load_state_dict(layer.state_dict(), strict=False)
    assert torch.equal(layer(inputs_of()), plain(inputs_of()))
    layer(inputs_of()).sum().backward()
    assert (layer.initial.grad.abs().sum(dim=1) > 0).all()  # of the state, and of the LSTM's memory
    assert plain.initial is None


@pytest.mark.parametrize("cell", ["stock", "peephole"])
@pytest.mark.parametrize("clip", [None, 5.0])
def test_forget_bias_fills_the_forget_gate_alone(cell: str, clip: float | None) -> None:
    layer = Recurrence(cell, 4, 3, clip_gradient=clip, forget_bias=1.5)
    assert layer.cell.bias_ih_l0.tolist() == [0.0] * 3 + [1.5] * 3 + [0.0] * 6
    assert not Recurrence(cell, 4, 3, clip_gradient=clip).cell.bias_ih_l0.any()


@pytest.mark.parametrize("cell", ["coupled", "rnn"])
def test_cells_without_a_forget_gate_have_no_forget_bias(cell: str) -> None:
    assert not Recurrence(cell, 4, 3, forget_bias=1.5).cell.bias_ih_l0.any()


@pytest.mark.parametrize("clip", [None, 5.0])
@pytest.mark.parametrize("cell", CELLS)
def test_one_bias_is_trained(cell: str, clip: float | None) -> None:
    layer = Recurrence(cell, 4, 3, clip_gradient=clip)
    trained = {name for name, parameter in layer.named_parameters() if parameter.requires_grad}
    peepholes = {"cell.peepholes"} if cell in ("peephole", "coupled") else set()
    assert trained == {"cell.weight_ih_l0", "cell.weight_hh_l0", "cell.bias_ih_l0"} | peepholes
    frozen = [parameter for parameter in layer.parameters() if not parameter.requires_grad]
    assert not any(parameter.any() for parameter in frozen)


@pytest.mark.parametrize("clip", [None, 5.0])
@pytest.mark.parametrize("cell", CELLS)
def test_each_gate_is_initialised_as_a_separate_matrix(cell: str, clip: float | None) -> None:
    layer = Recurrence(cell, 60, 40, clip_gradient=clip)
    gates = {"rnn": 1, "coupled": 3}.get(cell, 4)
    for matrix, columns in ((layer.cell.weight_ih_l0, 60), (layer.cell.weight_hh_l0, 40)):
        bound = math.sqrt(6 / (40 + columns))
        assert matrix.shape == (gates * 40, columns)
        for gate in matrix.split(40):
            assert 0.98 * bound < gate.abs().max() <= bound
