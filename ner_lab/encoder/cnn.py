"""Word CNN of Yang, Liang & Zhang 2018, as in their NCRF++."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.dropout import Dropout
from ner_lab.encoder.reading import real_tokens, require_input, require_layers, require_odd
from ner_lab.encoder.windows import side_by_side
from ner_lab.initialise import linear


class CNN(nn.Module):
    """Layers of convolution, ReLU, dropout and batch normalisation over tanh of the words' vectors.

    Beyond the sentence every layer sees zeros. In training a batch is normalised by its own words, never
    by padding; afterwards by the averages kept, so that no sentence depends on another.

    input_dim: dimensions of a word's vector.
    hidden_dim: size of the first projection and of every layer.
    num_layers: layers of convolution.
    window: words a convolution sees, the word itself in the middle.
    input_dropout: on the words' vectors.
    dropout: in every layer, before its normalisation.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: int,
        num_layers: int,
        window: int,
        input_dropout: float,
        dropout: float,
    ) -> None:
        super().__init__()
        require_input(input_dim)
        require_layers(num_layers)
        require_odd(window)
        self.input_dropout = Dropout(input_dropout)
        self.projection = linear(input_dim, hidden_dim)
        self.convolutions = nn.ModuleList(linear(window * hidden_dim, hidden_dim) for _ in range(num_layers))
        self.dropout = Dropout(dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden_dim) for _ in range(num_layers))
        self.reach = window // 2
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, input_dim), lengths (batch,) -> (batch, time, hidden_dim)."""
        time = inputs.shape[1]
        real = real_tokens(lengths, time)
        words = torch.tanh(self.projection(self.input_dropout(inputs)))[real]  # (tokens, hidden_dim)
        hidden = words.new_zeros(*real.shape, self.output_dim)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            padded = F.pad(hidden.masked_scatter(real[:, :, None], words), (0, 0, self.reach, self.reach))
            words = self.dropout(torch.relu(convolution(side_by_side(padded, time)[real])))
            words = _normalised(norm, words)
        return hidden.masked_scatter(real[:, :, None], words)


def _normalised(norm: Any, words: Tensor) -> Tensor:
    """words (tokens, dim) -> the same, normalised; in training a word alone has no spread and goes by the averages."""
    if norm.training and len(words) == 1:
        return F.batch_norm(words, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    return norm(words)
