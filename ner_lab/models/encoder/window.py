"""The window network of Collobert et al. 2011, section 3.2.1."""

from torch import Tensor, nn

from ner_lab.models.encoder.windows import Windows
from ner_lab.models.layers.checks import at_least, probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import linear
from ner_lab.models.layers.masking import require_input


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
        at_least(0, "encoder", hidden_dim=hidden_dim)
        probability("encoder", input_dropout=input_dropout)
        require_input(input_dim)
        self.dropout = Dropout(input_dropout)
        self.windows = Windows(input_dim=input_dim, window=window)
        layers = [linear(window * input_dim, hidden_dim), nn.Hardtanh()] if hidden_dim else []
        self.hidden = nn.Sequential(*layers)
        self.output_dim = hidden_dim or window * input_dim

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, input_dim), lengths (batch,) -> (batch, time, hidden_dim)."""
        return self.hidden(self.windows(self.dropout(inputs), lengths))
