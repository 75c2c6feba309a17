"""The best path through a lattice of tags (Viterbi 1967)."""

import torch
from torch import Tensor


@torch.no_grad()
def viterbi(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """-> best tags (batch, time), 0 at padding, and their score (batch,).

    emissions (batch, time, tags); mask (batch, time) bool, True for tokens, which stand before all padding;
    start, end (tags,) or (batch, tags); transitions (from, to), or (batch, time, from, to) where they change
    from step to step: entry t is the step into token t, and entry 0 is not read.
    """
    time, num_tags = emissions.shape[1:]
    stay = torch.arange(num_tags, device=emissions.device)
    into = transitions.transpose(-1, -2)  # (..., to, from)
    score = start + emissions[:, 0]  # (batch, tags)
    origins = []
    for step in range(1, time):
        arriving = into if into.dim() == 2 else into[:, step]
        best, origin = (score[:, None, :] + arriving).max(dim=2)  # (batch, to)
        real = mask[:, step, None]
        score = torch.where(real, best + emissions[:, step], score)
        origins.append(torch.where(real, origin, stay))
    final, tag = (score + end).max(dim=1)
    path = [tag]
    for origin in reversed(origins):
        tag = origin.gather(1, tag[:, None]).squeeze(1)
        path.append(tag)
    return torch.stack(path[::-1], dim=1) * mask, final
