"""The linear-chain CRF: exact likelihood, marginals and best path over emissions.

score(tags) = start[tag_1] + sum_t emission[t, tag_t] + sum_t transition[tag_t, tag_t+1] + end[tag_n]

The partition function is computed with its gradient in closed form: a forward and a backward pass
run side by side as matrix products of scaled exponentials, and the marginals they give are the
gradient. Where transitions differ so much that an exponential would vanish (forbidden ones), the
same recursion runs in log space under autograd.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ner_lab.decoder.constraints import FORBIDDEN, penalties_of
from ner_lab.decoder.viterbi import viterbi

WIDEST = 60.0  # of transition scores, for exponentials: e^-60 is far above the smallest float32


class LinearChainCRF(nn.Module):
    """Scores between neighbouring tags, and exact inference with them.

    Parameters: `start (tags,)`, `transitions (from, to)`, `end (tags,)`, zero at first; without
    `stop_score`, `end` is no parameter and stays zero.
    `mask (batch, time)` is True for tokens, which stand before all padding; every sentence has at
    least one token. Without a mask all positions are tokens.

    allowed: `allowed[i][j]` says whether tag j may follow tag i; row and column `num_tags` stand for
        the sentence's border. It binds only calls with `constrained=True`.
    """

    end: Tensor
    penalties: Tensor

    def __init__(
        self, num_tags: int, allowed: Sequence[Sequence[bool]] | None = None, *, stop_score: bool = True
    ) -> None:
        super().__init__()
        if num_tags < 1:
            raise ValueError(f"a CRF needs at least one tag, got {num_tags}")
        self.num_tags = num_tags
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        if stop_score:
            self.end = nn.Parameter(torch.zeros(num_tags))
        else:
            self.register_buffer("end", torch.zeros(num_tags), persistent=False)
        if allowed is None:
            allowed = [[True] * (num_tags + 1)] * (num_tags + 1)
        self.register_buffer("penalties", penalties_of(allowed), persistent=False)

    def transition_scores(self) -> dict[str, Tensor]:
        """-> `start (tags,)`, `matrix (from, to)`, `end (tags,)`, without what constraints forbid."""
        return {"start": self.start.detach(), "matrix": self.transitions.detach(), "end": self.end.detach()}

    def log_likelihood(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, *, constrained: bool = False
    ) -> Tensor:
        """emissions (batch, time, tags), tags (batch, time) -> log p(tags | emissions) (batch,)."""
        mask = self._check(emissions, mask)
        if tags.shape != emissions.shape[:2]:
            raise ValueError(f"tags are {tuple(tags.shape)}, emissions are {tuple(emissions.shape)}")
        scores = self._scores(constrained, least=FORBIDDEN)
        return _score(emissions, tags, mask, *scores) - _log_partition(emissions, mask, *scores)

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """emissions (batch, time, tags) -> p(tag at each token) (batch, time, tags), 0 at padding."""
        mask = self._check(emissions, mask)
        with torch.enable_grad():
            leaf = emissions.detach().requires_grad_()
            partition = _log_partition(leaf, mask, *self._scores(False)).sum()
        return torch.autograd.grad(partition, leaf)[0]

    def decode(
        self, emissions: Tensor, mask: Tensor | None = None, *, constrained: bool = False
    ) -> tuple[Tensor, Tensor]:
        """emissions (batch, time, tags) -> best tags (batch, time), 0 at padding, and score (batch,)."""
        mask = self._check(emissions, mask)
        return viterbi(emissions, mask, *self._scores(constrained))

    def _check(self, emissions: Tensor, mask: Tensor | None) -> Tensor:
        if emissions.dim() != 3 or emissions.shape[2] != self.num_tags:
            raise ValueError(f"emissions are {tuple(emissions.shape)}, expected (batch, time, {self.num_tags})")
        if mask is None:
            return torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
        if mask.shape != emissions.shape[:2]:
            raise ValueError(f"mask is {tuple(mask.shape)}, emissions are {tuple(emissions.shape)}")
        if not bool(mask[:, 0].all()):
            raise ValueError("a sentence without a token: mask[:, 0] must be True")
        return mask.bool()

    def _scores(self, constrained: bool, least: float = -torch.inf) -> tuple[Tensor, Tensor, Tensor]:
        if not constrained:
            return self.start, self.transitions, self.end
        penalties = self.penalties.clamp(min=least)
        return (
            self.start + penalties[-1, :-1],
            self.transitions + penalties[:-1, :-1],
            self.end + penalties[:-1, -1],
        )


def _score(emissions: Tensor, tags: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """The score of the given tags (batch,)."""
    tags = tags * mask  # padding may hold anything
    emitted = emissions.gather(2, tags[:, :, None]).squeeze(2)  # (batch, time)
    moved = transitions[tags[:, :-1], tags[:, 1:]]
    last = tags.gather(1, mask.sum(dim=1, keepdim=True) - 1).squeeze(1)
    return (
        start[tags[:, 0]]
        + torch.where(mask, emitted, 0.0).sum(dim=1)
        + torch.where(mask[:, 1:], moved, 0.0).sum(dim=1)
        + end[last]
    )


def _log_partition(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    emissions = emissions.masked_fill(~mask[:, :, None], 0.0)  # padding may hold anything
    lengths = mask.sum(dim=1)
    spread = transitions.detach().max() - transitions.detach().min()
    if spread < WIDEST:
        with torch.autocast(emissions.device.type, enabled=False):  # half precision cannot hold e^-60
            return _LogPartition.apply(emissions, start, transitions, end, lengths)
    return log_partition_by_logs(emissions, start, transitions, end, lengths)


def log_partition_by_logs(
    emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, lengths: Tensor
) -> Tensor:
    """The forward recursion in log space, for any scores; differentiated by autograd. -> (batch,).

    transitions (from, to), or (batch, time, from, to) where each step has its own.
    """
    first, *following = emissions.unbind(dim=1)  # one cut: an index at each step would cost its whole tensor going back
    moves = transitions.unbind(dim=1)[1:] if transitions.dim() == 4 else [transitions] * len(following)
    score = start + first  # (batch, tags)
    for step, (emission, move) in enumerate(zip(following, moves, strict=True), start=1):
        reached = torch.logsumexp(score[:, :, None] + move, dim=1) + emission
        score = torch.where((step < lengths)[:, None], reached, score)
    return torch.logsumexp(score + end, dim=1)


class _LogPartition(torch.autograd.Function):
    """log Z (batch,) of emissions (batch, time, tags), with marginals as its gradient."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, lengths: Tensor
    ) -> Tensor:
        batch, time, num_tags = emissions.shape
        steps = torch.arange(time, device=lengths.device)
        mask = steps < lengths[:, None]
        turned = lengths[:, None] - 1 - steps
        turn = torch.where(turned >= 0, turned, steps)[:, :, None].expand_as(emissions)
        # both passes side by side: the second reads the sentence from its end, with `end` as its start
        scores = torch.stack([emissions, emissions.gather(1, turn)])  # (2, batch, time, tags)
        largest = transitions.max()
        exponentials = torch.exp(transitions - largest)
        both = torch.stack([exponentials, exponentials.t()])  # (2, from, to)
        current = scores[:, :, 0] + torch.stack([start, end])[:, None]
        # each step starts from its largest score, so that numbers stay small over long sentences;
        # what was taken off is summed apart
        states, peaks = [current], []
        for step in range(1, time):
            peak = current.amax(dim=2, keepdim=True)
            peaks.append(peak[0])
            current = torch.bmm(torch.exp(current - peak), both).log_() + scores[:, :, step]
            states.append(current)
        passes = torch.stack(states, dim=2)  # (2, batch, time, tags)
        alpha = passes[0]
        beta = passes[1].gather(1, turn)  # both count the emission at their token
        last = (lengths - 1)[:, None, None].expand(batch, 1, num_tags)
        log_z = torch.logsumexp(alpha.gather(1, last).squeeze(1) + end, dim=1)
        if peaks:
            taken = (torch.cat(peaks, dim=1).double() + largest) * mask[:, 1:]
            log_z = log_z + taken.sum(dim=1).to(log_z.dtype)
        unary = torch.softmax(alpha + beta - emissions, dim=2) * mask[:, :, None]
        ctx.save_for_backward(unary, _pairs(alpha, beta, exponentials, mask), last)
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        unary, pairs, last = ctx.saved_tensors
        weighted = unary * grad[:, None, None]
        at_end = weighted.gather(1, last).squeeze(1)
        transitions = torch.einsum("b,bij->ij", grad, pairs)
        return weighted, weighted[:, 0].sum(dim=0), transitions, at_end.sum(dim=0), None


def _pairs(alpha: Tensor, beta: Tensor, exponentials: Tensor, mask: Tensor) -> Tensor:
    """Expected number of each transition in each sentence (batch, from, to)."""
    if alpha.shape[1] == 1:
        return exponentials.new_zeros((alpha.shape[0], *exponentials.shape))
    before, after = alpha[:, :-1], beta[:, 1:]  # (batch, time - 1, tags)
    left = torch.exp(before - before.amax(dim=2, keepdim=True))
    right = torch.exp(after - after.amax(dim=2, keepdim=True))
    total = ((left @ exponentials) * right).sum(dim=2, keepdim=True)  # of all pairs at a place
    right = torch.where(mask[:, 1:, None], right / total, 0.0)
    return torch.bmm(left.transpose(1, 2), right) * exponentials
