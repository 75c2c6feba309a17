"""The weights of all members in one tensor, while each member keeps its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class StackedWeights:
    """One parameter of each member, one behind another in `all` (members, ...).

    A member's own parameter becomes a view of its place there, so an optimizer that moves it moves `all`,
    and a member is scored and saved as if it were alone. What `all` gathers in a backward pass is handed
    to the members by `hand_back`.
    """

    def __init__(self, own: Sequence[nn.Parameter]) -> None:
        self.own = list(own)
        whole = torch.stack([parameter.detach() for parameter in self.own])
        for place, parameter in zip(whole, self.own, strict=True):
            parameter.data = place
        self.all: Tensor = whole.detach().requires_grad_(self.own[0].requires_grad)

    def hand_back(self) -> None:
        """Give each member its part of the gradient, as a view."""
        if self.all.grad is not None:
            for parameter, gradient in zip(self.own, self.all.grad, strict=True):
                parameter.grad = gradient

    def forget(self) -> None:
        """Drop the gradient."""
        self.all.grad = None
