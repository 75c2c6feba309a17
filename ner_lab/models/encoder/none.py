"""No encoder: the decoder sees the words' vectors directly."""

from torch import Tensor, nn

from ner_lab.models.layers.checks import check_probability
from ner_lab.models.layers.dropout import Dropout


class NoEncoder(nn.Module):
    """Passes its input on, with dropout."""

    def __init__(self, *, input_dim: int, input_dropout: float) -> None:
        super().__init__()
        check_probability("encoder", input_dropout=input_dropout)
        self.dropout = Dropout(input_dropout)
        self.output_dim = input_dim

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, dim), lengths (batch,) -> (batch, time, dim)."""
        return self.dropout(inputs)
