"""The sentence network of Collobert et al. 2011, section 3.2.2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.models.encoder.window import Windows, side_by_side
from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import embedding_uniform, linear
from ner_lab.models.layers.masking import real_tokens, require_input

AT_ONCE = 2**22
"""Numbers that the maximum over time compares at once: 16 MiB."""


class SentenceNetwork(nn.Module):
    """Reads the complete sentence for each word to be tagged (Collobert et al. 2011, section 3.2.2).

    Every word's vector is concatenated with one for its distance from the word to be tagged; then a convolution, the
    maximum of each filter over the sentence, a linear layer, HardTanh. The linear layer to the tags is part of the
    decoder.

    A convolution is linear: the words' part is computed once for a sentence, the distances' part once for all. The
    maximum is found without a gradient, which then flows only to the maximal values.

    input_dim: dimensions of a word's vector.
    num_filters, window: of the convolution; outside the sentence there is a learnt vector.
    hidden_dim: size of the linear layer.
    distance_dim: dimensions of a distance's vector.
    max_distance: larger distances count as this one.
    input_dropout: on the words' vectors.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        num_filters: int,
        window: int,
        hidden_dim: int,
        distance_dim: int,
        max_distance: int,
        input_dropout: float,
    ) -> None:
        super().__init__()
        require_input(input_dim)
        check_int_range(1, "encoder", num_filters=num_filters, hidden_dim=hidden_dim, distance_dim=distance_dim)
        check_int_range(1, "encoder", most=10_000, max_distance=max_distance)
        check_probability("encoder", input_dropout=input_dropout)
        self.dropout = Dropout(input_dropout)
        self.windows = Windows(input_dim=input_dim, window=window)
        self.distances = nn.Embedding(2 * max_distance + 1, distance_dim)
        embedding_uniform(self.distances.weight)
        self.max_distance = max_distance
        self.convolution = linear(window * (input_dim + distance_dim), num_filters)
        self.window = window
        self.input_dim = input_dim
        self.hidden = linear(num_filters, hidden_dim)
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, input_dim), lengths (batch,) -> (batch, time, hidden_dim)."""
        time = inputs.shape[1]
        weight = self.convolution.weight.unflatten(1, (self.window, -1))  # (filters, window, word + distance)
        words = self.windows(self.dropout(inputs), lengths)
        words = F.linear(words, weight[..., : self.input_dim].flatten(1), self.convolution.bias)
        shifted = F.linear(self._distances(time), weight[..., self.input_dim :].flatten(1))  # (2 time - 1, filters)
        steps = torch.arange(time, device=inputs.device)
        origin = time - 1 - steps[:, None]  # (target, 1): offset from a position to its row of `shifted`
        real = real_tokens(lengths, time)
        positions = _largest(words.detach(), shifted.detach(), steps + origin, real)  # (batch, target, filters)
        filtered = words.gather(1, positions) + shifted.gather(0, (positions + origin).flatten(0, 1)).view_as(positions)
        return F.hardtanh(self.hidden(filtered))

    def _distances(self, time: int) -> Tensor:
        """Windows of vectors of distances from 1 - time to time - 1: (2 time - 1, window * distance_dim)."""
        farthest = time - 1 + self.window // 2
        distances = torch.arange(-farthest, farthest + 1, device=self.distances.weight.device)
        distances = distances.clamp(-self.max_distance, self.max_distance) + self.max_distance
        return side_by_side(self.distances(distances), 2 * time - 1)


@torch.no_grad()
def _largest(words: Tensor, shifted: Tensor, rows: Tensor, real: Tensor) -> Tensor:
    """The position of each filter's maximum for each word to be tagged, several words at a time.

    words (batch, time, filters), shifted (2 time - 1, filters), rows of it (target, time), real (batch, time)
    -> positions (batch, target, filters).
    """
    words = words.masked_fill(~real[:, :, None], -torch.inf)
    together = max(1, AT_ONCE // words.numel())
    # on CPUs `max` finds a position five times as fast as `argmax`
    maxima = [(words[:, None] + shifted[part]).max(dim=2).indices for part in rows.split(together)]
    return torch.cat(maxima, dim=1)
