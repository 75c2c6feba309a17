"""From states to one score for each tag."""

from torch import Tensor, nn

from ner_lab.initialise import linear


class Projection(nn.Module):
    """A linear layer to the tags, optionally behind a tanh layer of `hidden_dim` units.

    Scores of sparse features (`direct`) are added: they reach the tags past the encoder (the
    direct connection of Huang et al. 2015, section 4.2.4).
    """

    def __init__(self, input_dim: int, num_tags: int, hidden_dim: int = 0) -> None:
        super().__init__()
        hidden = [linear(input_dim, hidden_dim), nn.Tanh()] if hidden_dim else []
        self.layers = nn.Sequential(*hidden, linear(hidden_dim or input_dim, num_tags))

    def forward(self, hidden: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), direct (batch, time, tags) or None -> (batch, time, tags)."""
        scores = self.layers(hidden)
        return scores if direct is None else scores + direct
