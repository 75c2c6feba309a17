"""Recurrent layers without packing: reversal, starting values, equality with torch's own cells."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.recurrence import Recurrence, reorder, reversal

CELLS = ["lstm", "rnn"]


def inputs_of(batch: int = 3, time: int = 5, dim: int = 4) -> Tensor:
    return torch.randn(batch, time, dim, generator=torch.Generator().manual_seed(0))


def test_reversal_turns_tokens_round_and_leaves_padding() -> None:
    order = reversal(torch.tensor([4, 2, 1]), 4)
    assert order.tolist() == [[3, 2, 1, 0], [1, 0, 2, 3], [0, 1, 2, 3]]


def test_reorder_moves_whole_vectors_along_time() -> None:
    values = torch.tensor([[[1, 10], [2, 20], [3, 30]]])
    assert reorder(values, torch.tensor([[1, 0, 2]])).tolist() == [[[2, 20], [1, 10], [3, 30]]]


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


@pytest.mark.parametrize(("cell", "module"), [("lstm", nn.LSTM), ("rnn", nn.RNN)])
def test_states_equal_torchs_own_cell_with_the_same_weights(cell: str, module: type[nn.RNNBase]) -> None:
    layer = Recurrence(cell, 4, 3, forget_bias=1.0)
    oracle = module(4, 3, batch_first=True)
    oracle.load_state_dict(layer.cell.state_dict())
    assert torch.equal(layer(inputs_of()), oracle(inputs_of())[0])


def test_lstm_follows_its_equations_from_the_learnt_state() -> None:
    layer = Recurrence("lstm", 4, 3, forget_bias=1.0, learn_initial=True)
    with torch.no_grad():
        layer.initial.normal_()
    inputs, cell = inputs_of(), layer.cell
    state, memory = (part.expand(3, -1) for part in layer.initial)
    for step in range(inputs.shape[1]):
        gates = inputs[:, step] @ cell.weight_ih_l0.T + state @ cell.weight_hh_l0.T + cell.bias_ih_l0
        enter, forget, new, leave = gates.chunk(4, dim=1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        state = torch.sigmoid(leave) * torch.tanh(memory)
        torch.testing.assert_close(layer(inputs)[:, step], state)


def test_rnn_follows_its_equation_from_the_learnt_state() -> None:
    layer = Recurrence("rnn", 4, 3, learn_initial=True)
    with torch.no_grad():
        layer.initial.normal_()
    inputs, cell = inputs_of(), layer.cell
    state = layer.initial[0].expand(3, -1)
    for step in range(inputs.shape[1]):
        state = torch.tanh(inputs[:, step] @ cell.weight_ih_l0.T + state @ cell.weight_hh_l0.T + cell.bias_ih_l0)
        torch.testing.assert_close(layer(inputs)[:, step], state)


@pytest.mark.parametrize("cell", CELLS)
def test_learnt_initial_state_starts_at_zero_and_gets_a_gradient(cell: str) -> None:
    layer = Recurrence(cell, 4, 3, learn_initial=True)
    plain = Recurrence(cell, 4, 3)
    plain.load_state_dict(layer.state_dict(), strict=False)
    assert torch.equal(layer(inputs_of()), plain(inputs_of()))
    layer(inputs_of()).sum().backward()
    assert (layer.initial.grad.abs().sum(dim=1) > 0).all()  # of the state, and of the LSTM's memory
    assert plain.initial is None


def test_forget_bias_fills_the_forget_gate_alone() -> None:
    layer = Recurrence("lstm", 4, 3, forget_bias=1.5)
    assert layer.cell.bias_ih_l0.tolist() == [0.0] * 3 + [1.5] * 3 + [0.0] * 6
    assert not Recurrence("lstm", 4, 3).cell.bias_ih_l0.any()
    assert not Recurrence("rnn", 4, 3, forget_bias=1.5).cell.bias_ih_l0.any()


@pytest.mark.parametrize("cell", CELLS)
def test_the_second_bias_of_torchs_cells_stays_out_of_training(cell: str) -> None:
    layer = Recurrence(cell, 4, 3)
    trained = {name for name, parameter in layer.named_parameters() if parameter.requires_grad}
    assert trained == {"cell.weight_ih_l0", "cell.weight_hh_l0", "cell.bias_ih_l0"}
    assert not layer.cell.bias_hh_l0.any()


@pytest.mark.parametrize("cell", CELLS)
def test_each_gate_is_drawn_as_a_matrix_of_its_own(cell: str) -> None:
    layer = Recurrence(cell, 60, 40)
    for matrix, columns in ((layer.cell.weight_ih_l0, 60), (layer.cell.weight_hh_l0, 40)):
        bound = math.sqrt(6 / (40 + columns))
        for gate in matrix.split(40):
            assert 0.98 * bound < gate.abs().max() <= bound
