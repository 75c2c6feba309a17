"""Linear-chain CRFs side by side, each member with transitions of its own.

Everything is kept as logs: whatever the transitions are, nothing is lost, and no value need be looked at. Few and
large steps, as a GPU wants them; on a CPU `ner_lab.decoder.forward_backward` is faster for a single member.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK = 2**22
"""How many pairs of tags are looked at at once"""


def path_score(
    emissions: Tensor, tags: Tensor, mask: Tensor, lengths: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """The score of the given tags (members, batch).

    emissions (members, batch, time, tags), tags and mask (members, batch, time), lengths (members, batch);
    start and end (members, tags), transitions (members, from, to).
    """
    members, batch, _, num_tags = emissions.shape
    emitted = emissions.gather(3, tags[..., None]).squeeze(3)
    moves = (tags[:, :, :-1] * num_tags + tags[:, :, 1:]).flatten(1)
    moved = transitions.flatten(1).gather(1, moves).view(members, batch, -1)
    last = tags.gather(2, lengths[..., None] - 1).squeeze(2)
    return (
        start.gather(1, tags[:, :, 0])
        + torch.where(mask, emitted, 0.0).sum(dim=2)
        + torch.where(mask[:, :, 1:], moved, 0.0).sum(dim=2)
        + end.gather(1, last)
    )


def log_partition(
    emissions: Tensor, mask: Tensor, lengths: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """The log of the summed exponentials of all paths' scores (members, batch); shapes as in `path_score`."""
    return _LogPartition.apply(emissions, mask, lengths, start, transitions, end)


class _LogPartition(torch.autograd.Function):
    """Passes from both ends side by side, in double precision; the marginals they give are the gradient."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, mask: Tensor, lengths: Tensor, start: Tensor, transitions: Tensor, end: Tensor
    ) -> Tensor:
        """Shapes as in `path_score` -> (members, batch)."""
        scores = emissions.double().masked_fill(~mask[..., None], 0.0)
        moves = transitions.double()
        steps = torch.arange(emissions.shape[2], device=emissions.device)
        turned = lengths[..., None] - 1 - steps
        turn = torch.where(turned >= 0, turned, steps)[..., None].expand_as(scores)
        both = torch.stack([scores, scores.gather(2, turn)])  # (2, members, batch, time, tags)
        into = torch.stack([moves, moves.transpose(1, 2)])[:, :, None]  # (2, members, 1, from, to)
        first, *following = both.unbind(3)
        current = first + torch.stack([start, end]).double()[:, :, None]
        states = [current]
        for scores_now in following:
            current = torch.logsumexp(current[..., None] + into, dim=3) + scores_now
            states.append(current)
        ahead, back = torch.stack(states, dim=3)
        behind = back.gather(2, turn)  # both count the emission of their token
        last = (lengths - 1)[..., None, None].expand(-1, -1, 1, scores.shape[3])
        log_z = torch.logsumexp(ahead.gather(2, last).squeeze(2) + end.double()[:, None], dim=2)
        ctx.save_for_backward(scores, ahead, behind, log_z, mask, last, moves)
        ctx.kinds = emissions.dtype, transitions.dtype
        return log_z.to(transitions.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (members, batch) -> gradients in the shapes of `forward`'s arguments."""
        scores, ahead, behind, log_z, mask, last, moves = ctx.saved_tensors
        of_emissions, of_scores = ctx.kinds
        shares = grad.double()[..., None] * mask
        through = (ahead + behind - scores - log_z[..., None, None]).masked_fill(~mask[..., None], -torch.inf)
        unary = torch.exp(through) * shares[..., None]
        at_end = unary.gather(2, last).squeeze(2).sum(dim=1)
        pairs = torch.zeros_like(moves)
        members, batch, time, num_tags = scores.shape
        step = max(1, _CHUNK // (members * batch * num_tags**2))
        for begin in range(1, time, step):
            here = slice(begin, min(begin + step, time))
            before = ahead[:, :, here.start - 1 : here.stop - 1] - log_z[..., None, None]
            paths = before[..., None] + moves[:, None, None] + behind[:, :, here, None]
            paths.masked_fill_(~mask[:, :, here, None, None], -torch.inf)
            pairs += (torch.exp(paths) * shares[:, :, here, None, None]).sum(dim=(1, 2))
        return (
            unary.to(of_emissions),
            None,
            None,
            unary[:, :, 0].sum(dim=1).to(of_scores),
            pairs.to(of_scores),
            at_end.to(of_scores),
        )
