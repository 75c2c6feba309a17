"""The best path through a lattice of tags (Viterbi 1967).

The forward pass keeps only the best scores, a plain maximum; the backward pass looks up the previous tag for the one
path that is followed. Of equal scores the tag with the lowest number wins.
"""

import torch
from torch import Tensor


@torch.no_grad()
def viterbi(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """-> best tags (batch, time), 0 at padding, and their score (batch,).

    emissions (batch, time, tags); mask (batch, time) bool, True for tokens, which precede all padding; start, end
    (tags,) or (batch, tags); transitions (from, to), or (batch, time, from, to) if they change from step to step: entry
    t is the step into token t, and entry 0 is not read.
    """
    dtype = torch.promote_types(torch.promote_types(emissions.dtype, transitions.dtype), start.dtype)
    start, transitions = start.to(dtype), transitions.to(dtype)
    same = transitions.dim() == 2
    reached = (_reached if same else _reached_by_own_steps)(emissions, start, transitions)
    # all sentences are traced back from their own last token at once; steps past the first token are ignored
    time, batch, num_tags = reached.shape
    positions = positions_from_the_end(mask.sum(dim=1) - 1, time)  # (time, batch)
    sentences = torch.arange(batch, device=positions.device)
    rows = torch.add(sentences, positions, alpha=batch).view(-1)
    backward = reached.view(-1, num_tags).index_select(0, rows).view(reached.shape).unbind()
    score, tag = (backward[0] + end).max(dim=1)
    path = [tag]
    into = transitions.t().contiguous() if same else transitions
    for step in range(1, time):
        arrived = into.index_select(0, tag) if same else into[sentences, positions[step - 1], :, tag]  # (batch, from)
        tag = arrived.add_(backward[step]).argmax(dim=1)
        path.append(tag)
    return torch.stack(path).gather(0, positions).t() * mask, score


def _reached(emissions: Tensor, start: Tensor, transitions: Tensor) -> Tensor:
    """The score of the best path into each tag of each token (time, batch, tags)."""
    batch, _, num_tags = emissions.shape
    # adjacent sentences fill the processor's vector units
    states = emissions.permute(1, 2, 0).to(start.dtype, copy=True, memory_format=torch.contiguous_format)
    current, *following = states.unbind()  # (tags, batch) each
    current += start[:, None] if start.dim() == 1 else start.t()
    moves = transitions[:, :, None]
    arriving = states.new_empty(num_tags, num_tags, batch)  # (from, to, batch)
    best = states.new_empty(num_tags, batch)
    for state in following:
        torch.add(current[:, None], moves, out=arriving)
        current = state.add_(torch.amax(arriving, dim=0, out=best))
    return states.transpose(1, 2).contiguous()


def _reached_by_own_steps(emissions: Tensor, start: Tensor, transitions: Tensor) -> Tensor:
    """The same for transitions (batch, time, from, to)."""
    states = emissions.transpose(0, 1).to(start.dtype, copy=True, memory_format=torch.contiguous_format)
    current, *following = states.unbind()  # (batch, tags) each
    current += start
    arriving = torch.empty_like(transitions[:, 0])  # (batch, from, to)
    best = torch.empty_like(current)
    for state, moves in zip(following, transitions.unbind(1)[1:], strict=True):
        torch.add(current[:, :, None], moves, out=arriving)
        current = state.add_(torch.amax(arriving, dim=1, out=best))
    return states


def positions_from_the_end(last: Tensor, time: int) -> Tensor:
    """last (batch,): the position of each sentence's last token -> that position, the one before, ..., 0, 0 (time,
    batch).
    """
    return (last - torch.arange(time, device=last.device)[:, None]).clamp_(min=0)
