"""Encode the tokens of a chunk as one vector (Lample et al. 2016, section 3.2)."""

import torch
from torch import Tensor, nn

from ner_lab.models.decoder.stack_lstm.stack import lstm_of
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import embedding_uniform, glorot, linear
from ner_lab.models.layers.recurrent import reorder, reversal


class ChunkEncoder(nn.Module):
    """ReLU(c + W [f; b] + R r): last states of an LSTM in each direction, and the label's vector.

    token_dim: dimensions of a token's vector and of the result.
    hidden_dim, num_layers: of each direction, which has its own stack of layers.
    num_labels, label_dim: labels and dimensions of their vectors.
    dropout: on the LSTMs' inputs, between their layers, and on their last states.
    """

    def __init__(
        self,
        *,
        token_dim: int,
        hidden_dim: int,
        num_layers: int,
        num_labels: int,
        label_dim: int,
        dropout: float,
        forget_bias: float,
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.ahead, self.back = (lstm_of(token_dim, hidden_dim, num_layers, dropout, forget_bias) for _ in range(2))
        self.labels = nn.Embedding(num_labels, label_dim)
        embedding_uniform(self.labels.weight)
        self.joint = linear(2 * hidden_dim + label_dim, token_dim)
        for part in self.joint.weight.split([2 * hidden_dim, label_dim], dim=1):
            glorot(part)

    def forward(self, tokens: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        """tokens (chunks, time, token_dim), lengths (chunks,), labels (chunks,) -> (chunks, token_dim)."""
        reversed_tokens = reorder(tokens, reversal(lengths, tokens.shape[1]))
        chunks, last = torch.arange(len(lengths), device=tokens.device), (lengths - 1).clamp(min=0)
        ends = [
            self.dropout(lstm(self.dropout(inputs))[0][chunks, last])
            for lstm, inputs in ((self.ahead, tokens), (self.back, reversed_tokens))
        ]
        return torch.relu(self.joint(torch.cat([*ends, self.labels(labels)], dim=1)))
