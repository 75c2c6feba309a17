"""Character CNN: convolution over the letters of a word, then the largest value of each filter."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.dropout import Dropout
from ner_lab.errors import UserError
from ner_lab.initialise import embedding_uniform, linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


class CharCNN(nn.Module):
    """Ma & Hovy 2016, section 2.1: dropout on character vectors, one convolution, max over the word.

    chars: the characters by number (padding first).
    padding: letters of padding on either side; `window - 1` is the authors' `full` convolution.
    activation: between convolution and maximum: `none`, `tanh` (the authors' code) or `relu`.
    fill_to: letters that every word is filled up to with a word-end symbol, learnt like a letter, whose
        windows count in the maximum as well (the authors' code); null for none. A longer word stays as
        it is.
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
        if activation not in ACTIVATIONS:
            raise UserError(f"char_encoder.activation is '{activation}'. It takes {', '.join(ACTIVATIONS)}.")
        if 2 * padding < window - 1:
            raise UserError(
                f"char_encoder.padding={padding} leaves no place for a window of {window} on a one-letter word; "
                f"it must be at least {window // 2}."
            )
        if fill_to is not None and fill_to < 1:
            raise UserError(f"char_encoder.fill_to is {fill_to}. It must be at least 1; null is no filling.")
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
        """Dimensions of a letter as the convolution sees it."""
        return self.embedding.embedding_dim

    def embed(self, chars: Tensor) -> Tensor:
        """chars (forms, letters) -> vectors of the letters (forms, letters, input_dim)."""
        return self.embedding(chars)

    def forward(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """chars (forms, letters), lengths (forms,) -> (forms, num_filters)."""
        if self.fill_to is not None:
            chars, lengths = self._filled(chars, lengths, self.fill_to)
        letters = self.dropout(self.embed(chars))
        letters = F.pad(letters, (0, 0, self.padding, self.padding))  # (forms, padded, input_dim)
        places = letters.shape[1] - self.window + 1
        # the convolution as one matrix product over windows: as fast on ragged shapes as on regular ones
        windows = torch.cat([letters[:, shift : shift + places] for shift in range(self.window)], dim=-1)
        filtered = ACTIVATIONS[self.activation](self.convolution(windows))  # (forms, places, filters)
        # a word of n letters has n + 2 padding - window + 1 places; what lies behind belongs to longer words
        real = torch.arange(places, device=chars.device) < (lengths + 2 * self.padding - self.window + 1)[:, None]
        return filtered.masked_fill(~real[:, :, None], -torch.inf).amax(dim=1)

    def _filled(self, chars: Tensor, lengths: Tensor, fill_to: int) -> tuple[Tensor, Tensor]:
        """Words with their word-end symbols: chars (forms, letters), lengths (forms,) -> the same, longer.

        More symbols than a window holds only repeat its values, so no more are laid out, unless dropout
        makes each of them another.
        """
        dropping = self.training and self.dropout.p > 0
        most = fill_to if dropping else self.window
        letters = chars.shape[1]
        chars = F.pad(chars, (0, max(0, min(fill_to - letters, most))))
        filled = lengths + (fill_to - lengths).clamp(0, most)
        places = torch.arange(chars.shape[1], device=chars.device)
        ends = (places >= lengths[:, None]) & (places < filled[:, None])
        return chars.masked_fill(ends, self.word_end), filled
