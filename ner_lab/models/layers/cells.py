"""Recurrent cells run step by step: those missing from torch, and any with gradient clipping inside.

Their parameters are named as in torch's own modules, but with one bias, as in the equations. `Recurrence` initialises
the matrices that all cells have.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ner_lab.models.layers.init import glorot
from ner_lab.models.layers.lstm_function import LSTMSteps

GATES = {"stock": 4, "peephole": 4, "coupled": 3}
"""Cell of an LSTM -> its stacked gate matrices."""


class SteppedLSTM(nn.Module):
    """One layer of an LSTM in one direction; on CPUs 1.5 to 2 times slower than torch's own.

    cell: `stock`, as torch's.
        `peephole`, Huang et al. 2015, section 2: input and forget gates also see the previous memory, the output gate
            the new one, element by element. Peepholes start at zero, which is the stock cell (the paper does not
            specify this).
        `coupled`, Lample et al. 2016, section 4: no forget gate, memory = (1 - input) * before + input * candidate; the
            input gate sees the previous memory, the output gate the new one, through full matrices as in the authors'
            code (the paper does not specify the kind).
    clip_gradient: bound of each element of the gradient that passes, at every step, through the gates' sums to the
    inputs, the previous state and the weights, or null (Ma & Hovy 2016, code: Lasagne's `grad_clipping`;
    peepholes are excluded). States are unaffected.
    """

    def __init__(self, cell: str, input_dim: int, hidden_dim: int, clip_gradient: float | None) -> None:
        super().__init__()
        gates = GATES[cell]
        self.weight_ih_l0 = nn.Parameter(torch.empty(gates * hidden_dim, input_dim))
        self.weight_hh_l0 = nn.Parameter(torch.empty(gates * hidden_dim, hidden_dim))
        self.bias_ih_l0 = nn.Parameter(torch.zeros(gates * hidden_dim))
        self.clip_gradient = clip_gradient
        self.peepholes: nn.Parameter | None = None
        if cell == "peephole":
            self.peepholes = nn.Parameter(torch.zeros(3, hidden_dim))  # input, forget, output
        elif cell == "coupled":
            self.peepholes = nn.Parameter(torch.empty(2, hidden_dim, hidden_dim))  # input, output
            for matrix in self.peepholes:
                glorot(matrix)

    def forward(self, inputs: Tensor, start: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """inputs (batch, time, input_dim), start 2 x (1, batch, hidden_dim) -> (batch, time, hidden_dim)."""
        given = given_by_inputs(self, inputs)
        zero = given.new_zeros(inputs.shape[0], self.weight_hh_l0.shape[1])
        state, memory = (zero, zero) if start is None else (part[0] for part in start)
        states = LSTMSteps.apply(given, self.weight_hh_l0, state, memory, self.clip_gradient, *self._peepholes())
        return states.transpose(0, 1)

    def _peepholes(self) -> tuple[Tensor | None, ...]:
        """Peepholes of the input, forget and output gates."""
        if self.peepholes is None:
            return None, None, None
        first, *forget, last = self.peepholes
        return first, forget[0] if forget else None, last


class SteppedRNN(nn.Module):
    """One layer of a simple RNN (tanh) in one direction, with gradient clipping as in `SteppedLSTM`."""

    def __init__(self, input_dim: int, hidden_dim: int, clip_gradient: float) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(hidden_dim, input_dim))
        self.weight_hh_l0 = nn.Parameter(torch.empty(hidden_dim, hidden_dim))
        self.bias_ih_l0 = nn.Parameter(torch.zeros(hidden_dim))
        self.clip_gradient = clip_gradient

    def forward(self, inputs: Tensor, start: Tensor | None = None) -> Tensor:
        """inputs (batch, time, input_dim), start (1, batch, hidden_dim) -> (batch, time, hidden_dim)."""
        given = given_by_inputs(self, inputs)
        state = torch.zeros_like(given[0]) if start is None else start[0]
        transposed = self.weight_hh_l0.t()
        states = []
        for step in given.unbind():
            state = torch.tanh(ClipGradient.apply(torch.addmm(step, state, transposed), self.clip_gradient))
            states.append(state)
        return torch.stack(states, dim=1)


def given_by_inputs(cell: SteppedLSTM | SteppedRNN, inputs: Tensor) -> Tensor:
    """The inputs' contribution to the gates at all steps: (batch, time, input_dim) -> (time, batch, gates * dim)."""
    given = F.linear(inputs.transpose(0, 1), cell.weight_ih_l0, cell.bias_ih_l0)
    return given.to(cell.weight_hh_l0.dtype)  # under autocast the loop stays in full precision


class ClipGradient(torch.autograd.Function):
    """Identity whose gradient is clipped, element by element."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, bound: float) -> Tensor:
        """values of any shape -> the same values."""
        ctx.bound = bound
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """grad in the values' shape -> within +-bound."""
        return grad.clamp(-ctx.bound, ctx.bound), None
