"""Positions of tokens when each sentence of a padded batch is read from its end."""

import torch
from torch import Tensor


def places_from_the_end(last: Tensor, time: int) -> Tensor:
    """last (batch,): the position of each sentence's last token -> that position, the one before, ..., 0, 0 (time,
    batch).
    """
    return (last - torch.arange(time, device=last.device)[:, None]).clamp_(min=0)
