"""From hidden states to one score for each tag, or for each pair of neighbouring tags."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ner_lab.errors import UserError, check_choice
from ner_lab.models.layers.checks import check_int_range
from ner_lab.models.layers.init import linear


class Constant(nn.Module):
    """A linear layer without inputs: its bias."""

    def __init__(self, output_dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(output_dim))

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs (batch, time, 0) -> (batch, time, output_dim)."""
        return self.bias.expand(*inputs.shape[:-1], -1)


class Projection(nn.Module):
    """A linear layer to the tags, optionally after a tanh layer of `hidden_dim` units.

    Scores of sparse features (`direct`) are added: they bypass the encoder (the direct connection of Huang et al. 2015,
    section 4.2.4).
    """

    def __init__(self, input_dim: int, num_tags: int, hidden_dim: int = 0) -> None:
        super().__init__()
        self.layers = _layers(input_dim, num_tags, hidden_dim)

    def forward(self, hidden: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), direct (batch, time, tags) or None -> (batch, time, tags)."""
        scores = self.layers(hidden)
        return scores if direct is None else scores + direct


class PerDirection(nn.Module):
    """The sum of the log-softmaxes of one linear layer per direction (Chiu & Nichols 2016, section 2.1).

    The first half of a state is the forward direction's, the second the backward direction's. The sum is not normalised
    again. `direct` scores are added to it.
    """

    def __init__(self, input_dim: int, num_tags: int) -> None:
        super().__init__()
        if input_dim % 2:
            raise UserError(
                f"decoder.output=per_direction needs an encoder with two directions, but its states have {input_dim} "
                "dimensions. Use encoder=bilstm or decoder.output=linear."
            )
        self.ahead = _layers(input_dim // 2, num_tags)
        self.back = _layers(input_dim // 2, num_tags)

    def forward(self, hidden: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), direct (batch, time, tags) or None -> (batch, time, tags)."""
        forward, backward = hidden.tensor_split(2, dim=2)
        scores = F.log_softmax(self.ahead(forward), dim=2) + F.log_softmax(self.back(backward), dim=2)
        return scores if direct is None else scores + direct


class PairProjection(nn.Module):
    """A linear layer to every pair of a tag and the previous tag (Ma & Hovy 2016, section 2.3).

    num_before: the number of previous tags; the last is the sentence boundary. Scores of sparse features (`direct`) are
    added by the current tag alone.
    """

    def __init__(self, input_dim: int, num_before: int, num_tags: int, hidden_dim: int = 0) -> None:
        super().__init__()
        self.layers = _layers(input_dim, num_before * num_tags, hidden_dim)
        self.shape = (num_before, num_tags)

    def forward(self, hidden: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), direct (batch, time, tags) or None -> (batch, time, before, tags)."""
        scores = self.layers(hidden).unflatten(2, self.shape)
        return scores if direct is None else scores + direct[:, :, None]


def projection_of(input_dim: int, num_tags: int, hidden_dim: int, output: str) -> Projection | PerDirection:
    """The projection given by `decoder.output`: `linear` or `per_direction`."""
    check_int_range(0, "decoder", hidden_dim=hidden_dim)
    if output == "linear":
        return Projection(input_dim, num_tags, hidden_dim)
    check_choice("decoder.output", output, ("linear", "per_direction"))
    if hidden_dim:
        raise UserError(
            f"decoder.hidden_dim is {hidden_dim}, but decoder.output=per_direction has no tanh layer. "
            "Use decoder.hidden_dim=0 or decoder.output=linear."
        )
    return PerDirection(input_dim, num_tags)


def _layers(input_dim: int, output_dim: int, hidden_dim: int = 0) -> nn.Sequential:
    hidden = [_linear(input_dim, hidden_dim), nn.Tanh()] if hidden_dim else []
    return nn.Sequential(*hidden, _linear(hidden_dim or input_dim, output_dim))


def _linear(input_dim: int, output_dim: int) -> nn.Module:
    return linear(input_dim, output_dim) if input_dim else Constant(output_dim)
