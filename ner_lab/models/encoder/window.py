"""The window network of Collobert et al. 2011, section 3.2.1."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import embedding_uniform, linear
from ner_lab.models.layers.masking import real_tokens, require_input, require_odd


class WindowNetwork(nn.Module):
    """A word and its neighbours, one linear layer, HardTanh (Collobert et al. 2011, section 3.2.1).

    The linear layer to the tags is part of the decoder.

    input_dim: dimensions of a word's vector.
    hidden_dim: size of the linear layer; 0 for the concatenated vectors themselves, which gives a linear model.
    window: number of words, the word itself in the middle; outside the sentence there is a learnt vector.
    input_dropout: on the words' vectors.
    """

    def __init__(self, *, input_dim: int, hidden_dim: int, window: int, input_dropout: float) -> None:
        super().__init__()
        check_int_range(0, "encoder", hidden_dim=hidden_dim)
        check_probability("encoder", input_dropout=input_dropout)
        require_input(input_dim)
        self.dropout = Dropout(input_dropout)
        self.windows = Windows(input_dim=input_dim, window=window)
        layers = [linear(window * input_dim, hidden_dim), nn.Hardtanh()] if hidden_dim else []
        self.hidden = nn.Sequential(*layers)
        self.output_dim = hidden_dim or window * input_dim

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, input_dim), lengths (batch,) -> (batch, time, hidden_dim)."""
        return self.hidden(self.windows(self.dropout(inputs), lengths))


class Windows(nn.Module):
    """Concatenates each word's vector with those of its neighbours; outside the sentence there is a learnt vector.

    input_dim: dimensions of a word's vector.
    window: number of words, the word itself in the middle.
    """

    def __init__(self, *, input_dim: int, window: int) -> None:
        super().__init__()
        require_odd(window)
        self.reach = window // 2
        self.outside = nn.Parameter(torch.empty(1, input_dim))
        embedding_uniform(self.outside)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, dim), lengths (batch,) -> (batch, time, window * dim), from left to right."""
        time = inputs.shape[1]
        padded = F.pad(inputs, (0, 0, self.reach, self.reach))  # (batch, time + 2 reach, dim)
        real = F.pad(real_tokens(lengths, time), (self.reach, self.reach))
        return side_by_side(torch.where(real[:, :, None], padded, self.outside.to(padded.dtype)), time)


def side_by_side(vectors: Tensor, positions: int) -> Tensor:
    """vectors (..., time, dim) -> (..., positions, window * dim): a run of neighbours from each position."""
    window = vectors.shape[-2] - positions + 1
    return torch.cat([vectors[..., shift : shift + positions, :] for shift in range(window)], dim=-1)
