"""The direct scores alone, for feature sets that predict a tag themselves."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.errors import UserError


class Direct(nn.Module):
    """Each token gets the tag with the best `direct` score, the first of equal ones; nothing is added to it."""

    def __init__(self, *, input_dim: int, tags: Sequence[str], scheme: str) -> None:
        super().__init__()

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """tags (batch, time), mask (batch, time) bool, direct (batch, time, tags) -> (batch,).

        The negative log-likelihood of each sentence under a softmax of the scores.
        """
        scores = _given(direct)
        per_token = F.cross_entropy(scores.transpose(1, 2), tags * mask, reduction="none")  # (batch, time)
        return (per_token * mask).sum(dim=1)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """mask (batch, time) bool, direct (batch, time, tags) -> best tags (batch, time), 0 at padding."""
        return _given(direct).argmax(dim=2) * mask


def _given(direct: Tensor | None) -> Tensor:
    if direct is None:
        raise UserError("decoder=direct needs features that score the tags. Use features=known_entities.")
    return direct
