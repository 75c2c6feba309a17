"""Recurrent layers over ragged batches, one direction at a time and without packing.

A padded batch is read forwards as it is, and backwards by reversing each sentence separately, so padding always comes
after the last token and never affects a real state. On CPUs this uses fast kernels that packed sequences do not.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ner_lab.errors import check_choice
from ner_lab.models.layers.cells import GATES, SteppedLSTM, SteppedRNN
from ner_lab.models.layers.checks import check_positive
from ner_lab.models.layers.init import glorot


class Recurrence(nn.Module):
    """One layer in one direction. Matrices are Glorot uniform for each gate, biases zero.

    cell: `rnn` (tanh), or an LSTM: `stock`, `peephole` or `coupled` (see `SteppedLSTM`).
    clip_gradient: bound inside the recurrence (see `SteppedLSTM`), or null. Without it the stock cell and the simple
    RNN are torch's own.
    forget_bias: initial bias of the LSTM's forget gate; a coupled cell and a simple RNN have none.
    learn_initial: whether the state before the first token is learnt; otherwise it is zero.
    """

    def __init__(
        self,
        cell: str,
        input_dim: int,
        hidden_dim: int,
        *,
        clip_gradient: float | None = None,
        forget_bias: float = 0.0,
        learn_initial: bool = False,
    ) -> None:
        super().__init__()
        gates = 1 if cell == "rnn" else GATES[cell]
        self.cell = _cell(cell, input_dim, hidden_dim, clip_gradient)
        glorot(self.cell.weight_ih_l0, parts=gates)
        glorot(self.cell.weight_hh_l0, parts=gates)
        for name, parameter in self.cell.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
                # torch adds two biases, the equations have one: the second stays zero
                parameter.requires_grad_(name == "bias_ih_l0")
        if cell in ("stock", "peephole"):
            with torch.no_grad():
                self.cell.bias_ih_l0[hidden_dim : 2 * hidden_dim] = forget_bias
        states = 1 if cell == "rnn" else 2
        self.initial = nn.Parameter(torch.zeros(states, hidden_dim)) if learn_initial else None

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (batch, time, input_dim) -> states (batch, time, hidden_dim)."""
        states = self.cell(inputs, self._start(inputs.shape[0]))
        return states[0] if isinstance(self.cell, nn.RNNBase) else states

    def _start(self, batch: int) -> Tensor | tuple[Tensor, ...] | None:
        if self.initial is None:
            return None
        states = tuple(state.expand(1, batch, -1).contiguous() for state in self.initial)
        return states if len(states) == 2 else states[0]


def _cell(cell: str, input_dim: int, hidden_dim: int, clip_gradient: float | None) -> Any:
    if cell == "rnn" and clip_gradient is not None:
        return SteppedRNN(input_dim, hidden_dim, clip_gradient)
    if cell == "rnn":
        return nn.RNN(input_dim, hidden_dim, batch_first=True)
    if cell == "stock" and clip_gradient is None:
        return nn.LSTM(input_dim, hidden_dim, batch_first=True)
    return SteppedLSTM(cell, input_dim, hidden_dim, clip_gradient)


def check_cell(group: str, cell: str, clip_gradient: float | None) -> None:
    """UserError for an unknown cell or a bound that is not above 0."""
    check_choice(f"{group}.cell", cell, list(GATES))
    check_positive(group, clip_gradient=clip_gradient, hint="Use null for no clipping.")


class ReverseSequences:
    """Reverses each sentence of a padded batch, and leaves padding in place.

    lengths (batch,); time: positions in each row. Applied twice, it is the identity.
    """

    def __init__(self, lengths: Tensor, time: int) -> None:
        self.order = None if _all_full(lengths, time) else reversal(lengths, time)

    def __call__(self, values: Tensor) -> Tensor:
        """values (batch, time, dim) -> (batch, time, dim)."""
        return values.flip(1) if self.order is None else _Reversed.apply(values, self.order)


def _all_full(lengths: Tensor, time: int) -> bool:
    """Whether there is no padding, if known without synchronising with a device."""
    return lengths.is_cpu and bool((lengths == time).all())


class _Reversed(torch.autograd.Function):
    """`reorder` by a reversal, whose gradient is also a reversal: adding it up position by position takes longer."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor) -> Tensor:
        """values (batch, time, dim), order (batch, time) -> (batch, time, dim)."""
        ctx.save_for_backward(order)
        return reorder(values, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """grad (batch, time, dim) -> (batch, time, dim)."""
        return _Reversed.apply(grad, ctx.saved_tensors[0]), None


def reversal(lengths: Tensor, time: int) -> Tensor:
    """Indices (batch, time) that reverse each sentence and leave padding in place."""
    steps = torch.arange(time, device=lengths.device)
    positions = lengths[:, None] - 1 - steps
    return torch.where(positions >= 0, positions, steps)


def reorder(values: Tensor, order: Tensor) -> Tensor:
    """values (batch, time, dim), order (batch, positions) -> values in that order (batch, positions, dim)."""
    return values.gather(1, order[:, :, None].expand(-1, -1, values.shape[2]))
