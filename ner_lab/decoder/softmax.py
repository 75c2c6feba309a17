"""The softmax decoder: every token's tag on its own."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.decoder.projection import Projection


class Softmax(nn.Module):
    """Linear layer (optionally behind a tanh layer) and a softmax for each token.

    tags: the tags by number. hidden_dim: size of the tanh layer; 0 for none.
    """

    def __init__(self, *, input_dim: int, tags: Sequence[str], scheme: str, hidden_dim: int) -> None:
        super().__init__()
        self.projection = Projection(input_dim, len(tags), hidden_dim)

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), tags (batch, time), mask (batch, time) bool -> (batch,).

        The negative log-likelihood of each sentence, summed over its tokens.
        """
        scores = self.projection(hidden, direct)
        per_token = F.cross_entropy(scores.transpose(1, 2), tags * mask, reduction="none")  # (batch, time)
        return (per_token * mask).sum(dim=1)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), mask (batch, time) bool -> best tags (batch, time), 0 at padding."""
        return self.projection(hidden, direct).argmax(dim=2) * mask
