"""The CRF's likelihood as defined, in log space, differentiated step by step by autograd.

The reference for `forward_backward`, also used on devices without double precision.
"""

import torch
from torch import Tensor


def log_likelihood(
    emissions: Tensor, tags: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """emissions (batch, time, tags), tags (batch, time), mask (batch, time) bool -> log p(tags) (batch,)."""
    emissions = emissions.masked_fill(~mask[:, :, None], 0.0)  # padding may hold anything
    lengths = mask.sum(dim=1)
    gold = score(emissions, tags, mask, start, transitions, end)
    return gold - log_partition(emissions, start, transitions, end, lengths)


def score(emissions: Tensor, tags: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """The score of the given tags (batch,)."""
    tags = tags * mask
    emitted = emissions.gather(2, tags[:, :, None]).squeeze(2)  # (batch, time)
    moved = transitions[tags[:, :-1], tags[:, 1:]]
    last = tags.gather(1, mask.sum(dim=1, keepdim=True) - 1).squeeze(1)
    return (
        start[tags[:, 0]]
        + torch.where(mask, emitted, 0.0).sum(dim=1)
        + torch.where(mask[:, 1:], moved, 0.0).sum(dim=1)
        + end[last]
    )


def log_partition(emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, lengths: Tensor) -> Tensor:
    """The log of the summed exponentials of all paths' scores (batch,).

    transitions (from, to), or (batch, time, from, to) if each step has its own; padding must be finite.
    """
    first, *following = emissions.unbind(dim=1)  # indexing at each step would cost its full tensor in backward
    moves = transitions.unbind(dim=1)[1:] if transitions.dim() == 4 else [transitions] * len(following)
    current = start + first  # (batch, tags)
    for step, (emission, move) in enumerate(zip(following, moves, strict=True), start=1):
        reached = torch.logsumexp(current[:, :, None] + move, dim=1) + emission
        current = torch.where((step < lengths)[:, None], reached, current)
    return torch.logsumexp(current + end, dim=1)
