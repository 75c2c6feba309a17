"""Word CNN of Yang, Liang & Zhang 2018, as in their NCRF++."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.models.encoder.window import side_by_side
from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import linear
from ner_lab.models.layers.masking import real_tokens, require_input, require_layers, require_odd


class CNN(nn.Module):
    """Layers of convolution, ReLU, dropout and batch normalisation over tanh of the words' vectors.

    Outside the sentence every layer sees zeros. In training a batch is normalised by its own words, never by padding;
    afterwards by the running averages, so that no sentence depends on another.

    input_dim: dimensions of a word's vector.
    hidden_dim: size of the first projection and of every layer.
    num_layers: number of convolution layers.
    window: words in a convolution, the word itself in the middle.
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
        check_int_range(1, "encoder", hidden_dim=hidden_dim, window=window)
        check_int_range(1, "encoder", most=100, num_layers=num_layers)
        check_probability("encoder", input_dropout=input_dropout, dropout=dropout)
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
        keep = real[:, :, None]
        hidden = torch.where(keep, torch.tanh(self.projection(self.input_dropout(inputs))), 0.0)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            padded = F.pad(hidden, (0, 0, self.reach, self.reach))
            words = self.dropout(torch.relu(convolution(side_by_side(padded, time))))
            hidden = torch.where(keep, _normalised(norm, words, real), 0.0)
        return hidden


def _normalised(norm: Any, words: Tensor, real: Tensor) -> Tensor:
    """words (batch, time, dim), real (batch, time) -> the same, normalised over real words; anything at padding.

    In training a single word has no variance and is normalised by the averages.
    """
    if not norm.training:
        return norm(words.flatten(0, 1)).view_as(words)
    if not words.is_cpu:
        return _normalised_by_sums(norm, words, real)
    selected = words[real]  # (tokens, dim)
    if len(selected) == 1:
        selected = F.batch_norm(selected, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
    else:
        selected = norm(selected)
    return torch.zeros_like(words).masked_scatter(real[:, :, None], selected)


def _normalised_by_sums(norm: Any, words: Tensor, real: Tensor) -> Tensor:
    """Like `_normalised` in training, but without selecting words, so that their number need not be known."""
    keep = real[:, :, None].to(words.dtype)
    count = keep.sum()
    mean = (words * keep).sum(dim=(0, 1)) / count
    variance = ((words - mean).square() * keep).sum(dim=(0, 1)) / count
    with torch.no_grad():
        share = torch.where(count > 1, norm.momentum, 0.0)
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance * count / (count - 1).clamp(min=1), share)
        norm.num_batches_tracked += 1
    mean = torch.where(count > 1, mean, norm.running_mean)
    variance = torch.where(count > 1, variance, norm.running_var)
    return (words - mean) * torch.rsqrt(variance + norm.eps) * norm.weight + norm.bias
