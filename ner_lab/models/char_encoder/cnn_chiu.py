"""The character CNN of Chiu & Nichols 2016, section 2.2, with optional character types."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ner_lab.models.char_encoder.cnn import CharCNN
from ner_lab.models.layers.checks import check_int_range, check_not_negative
from ner_lab.models.layers.init import linear

CHAR_TYPES = ("padding", "upper", "lower", "punctuation", "other")


class ChiuCharCNN(CharCNN):
    """Convolution and maximum over character vectors, each optionally concatenated with one of its type.

    char_type_dim: size of the vectors for upper, lower, punctuation and other; 0 for none.
    char_range: initial character vectors are uniform in +-char_range.
    """

    def __init__(
        self,
        *,
        chars: Sequence[str],
        char_dim: int,
        char_range: float,
        char_type_dim: int,
        num_filters: int,
        window: int,
        padding: int,
        dropout: float,
        activation: str,
    ) -> None:
        check_int_range(0, "char_encoder", char_type_dim=char_type_dim)
        check_not_negative("char_encoder", char_range=char_range)
        super().__init__(
            chars=chars,
            char_dim=char_dim,
            num_filters=num_filters,
            window=window,
            padding=padding,
            dropout=dropout,
            activation=activation,
        )
        with torch.no_grad():
            self.embedding.weight.uniform_(-char_range, char_range)
            self.embedding.weight[0].zero_()
        types = [0, CHAR_TYPES.index("other"), *(CHAR_TYPES.index(char_type(char)) for char in chars[2:])]
        self.register_buffer("type_of", torch.tensor(types), persistent=False)
        self.types = nn.Embedding(len(CHAR_TYPES), char_type_dim, padding_idx=0) if char_type_dim else None
        if self.types is not None:
            self.convolution = linear(window * (char_dim + char_type_dim), num_filters)

    def embed(self, chars: Tensor) -> Tensor:
        """chars (forms, characters) -> (forms, characters, char_dim + char_type_dim)."""
        vectors = self.embedding(chars)
        if self.types is None:
            return vectors
        return torch.cat([vectors, self.types(self.type_of[chars])], dim=-1)  # type: ignore[index]


def char_type(char: str) -> str:
    """Upper, lower, punctuation or other (Chiu & Nichols 2016, section 2.5)."""
    if char.isupper():
        return "upper"
    if char.islower():
        return "lower"
    return "other" if char.isalnum() or char.isspace() else "punctuation"
