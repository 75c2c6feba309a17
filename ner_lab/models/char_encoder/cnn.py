"""Character CNN: convolution over the characters of a word, then max-pooling."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ner_lab.errors import check_choice, invalid_value
from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import embedding_uniform, linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


class CharCNN(nn.Module):
    """Ma & Hovy 2016, section 2.1: dropout on character vectors, one convolution, max over the word.

    chars: the characters by number (padding first).
    padding: padding characters on either side; `window - 1` is the authors' `full` convolution.
    activation: between convolution and maximum: `none`, `tanh` (the authors' code) or `relu`.
    fill_to: number of characters to which every word is filled with a learnt word-end symbol, whose windows count in
    the maximum as well (the authors' code); null for none. A longer word stays unchanged.
    """

    def __init__(
        self,
        *,
        chars: Sequence[str],
        char_dim: int,
        num_filters: int,
        window: int,
        padding: int,
        dropout: float,
        activation: str,
        fill_to: int | None = None,
    ) -> None:
        super().__init__()
        check_int_range(1, "char_encoder", char_dim=char_dim, num_filters=num_filters, window=window)
        check_int_range(0, "char_encoder", padding=padding)
        check_probability("char_encoder", dropout=dropout)
        check_choice("char_encoder.activation", activation, list(ACTIVATIONS))
        if 2 * padding < window - 1:
            reason = f"A window of {window} must fit on a word of one character."
            raise invalid_value("char_encoder.padding", padding, f"at least {window // 2}", reason)
        check_int_range(1, "char_encoder", fill_to=fill_to, hint="Use null to add no word-end symbols.")
        self.word_end = len(chars)
        symbols = len(chars) + (fill_to is not None)
        self.embedding = nn.Embedding(symbols, char_dim, padding_idx=0)
        embedding_uniform(self.embedding.weight)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.dropout = Dropout(dropout)
        self.window = window
        self.padding = padding
        self.fill_to = fill_to
        self.convolution = linear(window * self.input_dim, num_filters)
        self.activation = activation
        self.output_dim = num_filters

    @property
    def input_dim(self) -> int:
        """Dimensions of a character's input to the convolution."""
        return self.embedding.embedding_dim

    def embed(self, chars: Tensor) -> Tensor:
        """chars (forms, characters) -> vectors of the characters (forms, characters, input_dim)."""
        return self.embedding(chars)

    def forward(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """chars (forms, characters), lengths (forms,) -> (forms, num_filters)."""
        if self.fill_to is not None:
            chars, lengths = self._filled(chars, lengths, self.fill_to)
        largest = self._concatenated(chars, lengths) if chars.is_cpu else self._side_by_side(chars, lengths)
        # all activations are increasing: applied after the maximum they give the same, on fewer values
        return ACTIVATIONS[self.activation](largest)

    def _concatenated(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """The maximum of each filter (forms, num_filters), without computation for the padding of short words.

        Words are concatenated, separated by padding that the one ends with and the next begins with.
        On a device, getting the length of the row would require synchronisation.
        """
        spans = lengths + self.padding
        steps = torch.arange(chars.shape[1] + self.padding)
        row = F.pad(chars, (0, self.padding))[steps < spans[:, None]]  # padding after every word
        vectors = self.dropout(self.embed(F.pad(row, (self.padding, 0))))  # (row, input_dim)
        positions = vectors.shape[0] - self.window + 1
        # the convolution as one matrix product over windows: equally fast on ragged and regular shapes
        windows = torch.cat([vectors[shift : shift + positions] for shift in range(self.window)], dim=-1)
        filtered = self.convolution(windows)  # (positions, filters)
        counts, firsts = self._window_counts(lengths), spans.cumsum(0) - spans
        if self.padding == self.window - 1:
            return _Largest.apply(filtered, torch.arange(positions), firsts)
        # windows across two words are left out, those of padding alone are shared
        steps = torch.arange(int(counts.max()))
        rows = (firsts[:, None] + steps)[steps < counts[:, None]]
        return _Largest.apply(filtered, rows, counts.cumsum(0) - counts)

    def _side_by_side(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """The maximum of each filter (forms, num_filters), with every word as long as the longest."""
        vectors = F.pad(self.dropout(self.embed(chars)), (0, 0, self.padding, self.padding))
        positions = vectors.shape[1] - self.window + 1
        windows = torch.cat([vectors[:, shift : shift + positions] for shift in range(self.window)], dim=-1)
        filtered = self.convolution(windows)  # (forms, positions, filters)
        real = torch.arange(positions, device=chars.device) < self._window_counts(lengths)[:, None]
        return filtered.masked_fill(~real[:, :, None], -torch.inf).amax(dim=1)

    def _window_counts(self, lengths: Tensor) -> Tensor:
        """lengths (forms,) -> number of windows of each word (forms,); later ones belong to longer words."""
        return lengths + 2 * self.padding - self.window + 1

    def _filled(self, chars: Tensor, lengths: Tensor, fill_to: int) -> tuple[Tensor, Tensor]:
        """Words with their word-end symbols: chars (forms, characters), lengths (forms,) -> the same, longer.

        More symbols than a window holds only repeat its values, so no more are added, unless dropout makes each of them
        different.
        """
        dropping = self.training and self.dropout.p > 0
        most = fill_to if dropping else self.window
        longest = chars.shape[1]
        chars = F.pad(chars, (0, max(0, min(fill_to - longest, most))))
        filled = lengths + (fill_to - lengths).clamp(0, most)
        positions = torch.arange(chars.shape[1], device=chars.device)
        ends = (positions >= lengths[:, None]) & (positions < filled[:, None])
        return chars.masked_fill(ends, self.word_end), filled


class _Largest(torch.autograd.Function):
    """The maximum of each column among the rows of each bag, on the CPU; the gradient goes to the first maximal row.

    Like `embedding_bag` with mode=max, whose own gradient takes three times as long.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: Tensor, bags: Tensor) -> Tensor:
        """values (positions, columns); rows (chosen,), concatenated over bags; bags (bags,), the start of each bag.

        -> (bags, columns).
        """
        largest, _, _, winners = torch.embedding_bag(values, rows, bags, False, 2)
        ctx.save_for_backward(winners)
        ctx.positions = len(values)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """grad (bags, columns) -> gradient of the values."""
        (winners,) = ctx.saved_tensors
        return grad.new_zeros(ctx.positions, grad.shape[1]).scatter_add_(0, winners, grad), None, None
