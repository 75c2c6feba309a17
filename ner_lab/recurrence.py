"""Recurrent layers over ragged batches, one direction at a time and without packing.

A padded batch is read forwards as it is, and backwards by turning round each sentence on its own,
so padding always comes behind the last token and never touches a real state. On CPUs this reaches
the fast kernels that packed sequences do not.
"""

import torch
from torch import Tensor, nn

from ner_lab.initialise import glorot

CELLS = {"lstm": (nn.LSTM, 4), "rnn": (nn.RNN, 1)}
"""Cell -> (module, stacked gate matrices)."""


class Recurrence(nn.Module):
    """One layer in one direction. Matrices are Glorot uniform for each gate, biases zero.

    cell: `lstm` or `rnn` (tanh).
    forget_bias: start of the LSTM's forget gate's bias.
    learn_initial: the state before the first token is learnt; otherwise it is zero.
    """

    def __init__(
        self, cell: str, input_dim: int, hidden_dim: int, *, forget_bias: float = 0.0, learn_initial: bool = False
    ) -> None:
        super().__init__()
        module, gates = CELLS[cell]
        self.cell = module(input_dim, hidden_dim, batch_first=True)
        glorot(self.cell.weight_ih_l0, parts=gates)
        glorot(self.cell.weight_hh_l0, parts=gates)
        nn.init.zeros_(self.cell.bias_ih_l0)
        nn.init.zeros_(self.cell.bias_hh_l0)
        # torch adds two biases where the equations have one: the second stays zero
        self.cell.bias_hh_l0.requires_grad_(False)
        if cell == "lstm":
            with torch.no_grad():
                self.cell.bias_ih_l0[hidden_dim : 2 * hidden_dim] = forget_bias
        states = 2 if cell == "lstm" else 1
        self.initial = nn.Parameter(torch.zeros(states, hidden_dim)) if learn_initial else None

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (batch, time, input_dim) -> states (batch, time, hidden_dim)."""
        return self.cell(inputs, self._start(inputs.shape[0]))[0]

    def _start(self, batch: int) -> Tensor | tuple[Tensor, ...] | None:
        if self.initial is None:
            return None
        states = tuple(state.expand(1, batch, -1).contiguous() for state in self.initial)
        return states if len(states) == 2 else states[0]


def reversal(lengths: Tensor, time: int) -> Tensor:
    """Indices (batch, time) that turn each sentence round in place and leave padding where it is."""
    steps = torch.arange(time, device=lengths.device)
    turned = lengths[:, None] - 1 - steps
    return torch.where(turned >= 0, turned, steps)


def reorder(values: Tensor, order: Tensor) -> Tensor:
    """values (batch, time, dim), order (batch, time) -> values in that order along time."""
    return values.gather(1, order[:, :, None].expand_as(values))
