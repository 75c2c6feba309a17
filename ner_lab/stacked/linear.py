"""Linear layers of all members as one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.decoder.projection import PerDirection, Projection
from ner_lab.stacked.weights import StackedWeights

Stack = Callable[[Sequence[Any]], StackedWeights]


class StackedLinear:
    """Linear layers on inputs (members, rows, dim); stack: how their parameters are stacked."""

    def __init__(self, members: Sequence[nn.Linear], stack: Stack) -> None:
        self.weight = stack([member.weight for member in members])
        self.bias = stack([member.bias for member in members])

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs (members, ..., dim) -> (members, ..., output_dim)."""
        rows = inputs.flatten(1, -2)
        results = torch.baddbmm(self.bias.all[:, None], rows, self.weight.all.transpose(1, 2))
        return results.unflatten(1, inputs.shape[1:-1])


class StackedProjection:
    """From states to tags: a linear layer, one behind a tanh layer, or one for each direction."""

    def __init__(self, members: Sequence[Any], stack: Stack) -> None:
        if isinstance(members[0], PerDirection):
            self.ways = [_layers([getattr(member, way) for member in members], stack) for way in ("ahead", "back")]
        else:
            self.ways = [_layers([member.layers for member in members], stack)]

    @staticmethod
    def fits(members: Sequence[nn.Module]) -> bool:
        """Whether all their layers are such as are stacked here."""
        return type(members[0]) in (Projection, PerDirection) and all(
            isinstance(layer, nn.Linear | nn.Tanh | nn.Sequential | Projection | PerDirection)
            for layer in members[0].modules()
        )

    def __call__(self, hidden: Tensor, direct: Tensor | None) -> Tensor:
        """hidden (members, batch, time, dim), direct (members, batch, time, tags) or None -> as direct."""
        if len(self.ways) == 1:
            scores = _through(self.ways[0], hidden)
        else:
            halves = hidden.tensor_split(2, dim=3)
            ahead, back = (
                F.log_softmax(_through(way, half), dim=3) for way, half in zip(self.ways, halves, strict=True)
            )
            scores = ahead + back
        return scores if direct is None else scores + direct


def _layers(members: Sequence[Any], stack: Stack) -> list[StackedLinear]:
    columns = zip(*members, strict=True)
    return [StackedLinear(column, stack) for column in columns if isinstance(column[0], nn.Linear)]


def _through(layers: Sequence[StackedLinear], values: Tensor) -> Tensor:
    first, *following = layers
    values = first(values)
    for layer in following:
        values = layer(torch.tanh(values))
    return values
