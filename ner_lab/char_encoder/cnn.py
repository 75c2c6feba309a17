"""Character CNN: convolution over the letters of a word, then the largest value of each filter."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise UserError(f"char_encoder.activation is '{activation}'. It takes {', '.join(ACTIVATIONS)}.")
        if 2 * padding < window - 1:
            raise UserError(
                f"char_encoder.padding={padding} leaves no place for a window of {window} on a one-letter word; "
                f"it must be at least {window // 2}."
            )
        self.embedding = nn.Embedding(len(chars), char_dim, padding_idx=0)
        embedding_uniform(self.embedding.weight)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.dropout = nn.Dropout(dropout)
        self.window = window
        self.padding = padding
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
        letters = self.dropout(self.embed(chars))
        letters = F.pad(letters, (0, 0, self.padding, self.padding))  # (forms, padded, input_dim)
        places = letters.shape[1] - self.window + 1
        # the convolution as one matrix product over windows: as fast on ragged shapes as on regular ones
        windows = torch.cat([letters[:, shift : shift + places] for shift in range(self.window)], dim=-1)
        filtered = ACTIVATIONS[self.activation](self.convolution(windows))  # (forms, places, filters)
        # a word of n letters has n + 2 padding - window + 1 places; what lies behind belongs to longer words
        real = torch.arange(places, device=chars.device) < (lengths + 2 * self.padding - self.window + 1)[:, None]
        return filtered.masked_fill(~real[:, :, None], -torch.inf).amax(dim=1)
