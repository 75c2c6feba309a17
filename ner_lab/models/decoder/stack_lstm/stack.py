"""Stack-LSTMs: LSTMs over sequences that start with a learnt guard (Dyer et al. 2015)."""

import torch
from torch import Tensor, nn

from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import embedding_uniform, glorot


def lstm_of(input_dim: int, hidden_dim: int, num_layers: int, dropout: float, forget_bias: float) -> nn.LSTM:
    """LSTM layers: Glorot matrices for each gate, zero biases except the forget gates', dropout between layers."""
    lstm = nn.LSTM(input_dim, hidden_dim, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0)
    for name, weights in lstm.named_parameters():
        if name.startswith("weight"):
            glorot(weights, parts=4)
            continue
        nn.init.zeros_(weights)
        if name.startswith("bias_hh"):  # torch adds two biases, the equations have one
            weights.requires_grad_(False)
        else:
            nn.init.constant_(weights.data[hidden_dim : 2 * hidden_dim], forget_bias)
    return lstm


class GuardedLSTM(nn.Module):
    """The states of a stack, by the number of items on its guard.

    To pop is to return to an earlier state: if all pushes are known, one run gives all states.

    dropout: on the guard and the items, and between layers; the state itself is not dropped.
    """

    def __init__(self, input_dim: int, hidden_dim: int, num_layers: int, dropout: float, forget_bias: float) -> None:
        super().__init__()
        self.guard = nn.Parameter(torch.empty(input_dim))
        embedding_uniform(self.guard)
        self.dropout = Dropout(dropout)
        self.lstm = lstm_of(input_dim, hidden_dim, num_layers, dropout, forget_bias)

    def guarded(self, items: Tensor) -> Tensor:
        """items (batch, time, dim) -> the guard and the items (batch, time + 1, dim)."""
        return torch.cat([self.guard.expand(items.shape[0], 1, -1), items], dim=1)

    def forward(self, items: Tensor) -> Tensor:
        """items (batch, time, dim) -> states after 0, 1, .. items (batch, time + 1, hidden_dim)."""
        return self.lstm(self.dropout(self.guarded(items)))[0]


class StackState:
    """A batch of stacks whose items become known one by one: the current state of each."""

    def __init__(self, stack: GuardedLSTM, batch: int) -> None:
        self.stack = stack
        guard = stack.dropout(stack.guard.expand(1, 1, -1))
        self.empty = stack.lstm(guard)[1]  # two tensors (layers, 1, hidden_dim)
        self.now = tuple(state.repeat(1, batch, 1) for state in self.empty)

    @property
    def top(self) -> Tensor:
        """-> (batch, hidden_dim)."""
        return self.now[0][-1]

    def push(self, rows: Tensor, items: Tensor) -> None:
        """Put items (rows, dim) on the stacks numbered `rows`."""
        before = tuple(state[:, rows] for state in self.now)
        after = self.stack.lstm(self.stack.dropout(items[:, None]), before)[1]
        for state, new in zip(self.now, after, strict=True):
            state[:, rows] = new

    def clear(self, rows: Tensor) -> None:
        """Pop all items of the stacks numbered `rows`."""
        for state, empty in zip(self.now, self.empty, strict=True):
            state[:, rows] = empty
