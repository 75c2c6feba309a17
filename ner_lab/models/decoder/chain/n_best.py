"""The n best paths through a lattice of tags: Viterbi search with the n best paths into each tag."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ner_lab.models.decoder.chain.viterbi import positions_from_the_end


@torch.no_grad()
def n_best(
    emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """-> tags (batch, n, time), 0 at padding, and scores (batch, n), the best path first.

    If a sentence has fewer than n paths, the missing ones score -inf and have tag 0 everywhere; a path forbidden by
    -inf does not count. Paths of equal scores come in any order. Arguments are those of `viterbi`.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1; got {n}")
    batch, time, _ = emissions.shape
    best, origins = _best_into(emissions, start, transitions, n)
    # all sentences are traced back from their own last token at once; steps past the first token are ignored
    positions = positions_from_the_end(mask.sum(dim=1) - 1, time)  # (time, batch)
    sentences = torch.arange(batch, device=positions.device)
    at_end = end.expand(batch, -1)[:, :, None]  # (batch, tags, 1)
    scores, way = (best[positions[0], sentences] + at_end).flatten(1).topk(n, dim=1)  # (batch, n)
    path = [way]
    for position in positions[:-1]:
        way = origins[position, sentences].gather(1, way)
        path.append(way)
    tags = torch.stack(path).div_(n, rounding_mode="floor")  # (time, batch, n)
    tags = tags.gather(0, positions[:, :, None].expand(-1, -1, n)).permute(1, 2, 0)
    return tags * (mask[:, None] & (scores > -torch.inf)[:, :, None]), scores


def _best_into(emissions: Tensor, start: Tensor, transitions: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n best paths into each tag of each token.

    -> their scores (time, batch, tags, n), and the path at the previous token, tag * n + rank, that each comes from
    (time, batch, tags * n); the first token has none.
    """
    first, *following = emissions.unbind(1)
    batch, num_tags = first.shape
    score = F.pad((start + first)[:, :, None], (0, n - 1), value=-torch.inf)  # (batch, tags, n)
    scores, origins = [score], [torch.zeros((batch, num_tags * n), dtype=torch.long, device=emissions.device)]
    for step, emission in enumerate(following, start=1):
        moves = transitions if transitions.dim() == 2 else transitions[:, step]
        arriving = score[:, :, :, None] + moves[..., :, None, :]  # (batch, from, n, to)
        best, origin = arriving.flatten(1, 2).topk(n, dim=1)  # (batch, n, to)
        score = best.transpose(1, 2) + emission[:, :, None]
        scores.append(score)
        origins.append(origin.transpose(1, 2).flatten(1))
    return torch.stack(scores), torch.stack(origins)
