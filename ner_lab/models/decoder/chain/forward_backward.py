"""The forward-backward algorithm on a linear chain (Baum 1972), with its gradient in closed form.

Two passes run in parallel, one from each end of the sentences; together they give the weight of the paths through each
tag of each token. These marginals are the gradient, so nothing is differentiated step by step.

On a CPU the passes are products of exponentials in double precision. They are scaled only as often as the spread of the
transitions requires, which is rarely. If transitions differ so much that exponentials underflow (forbidden ones), sums
are scaled at each step and checked. If paths may have been lost, or values must not be inspected (a GPU would have to
synchronise), the passes run in log space.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ner_lab.models.decoder.chain import log_space

WIDEST = 300.0
"""How far sums may shrink or grow before they are scaled, as a log: a product of two still fits a double."""
LEAST = 1e-200
"""Sums below this may lack paths with factors too small for a double."""
CHUNK = 2**22
"""Pairs of tags whose exponentials are in memory at once, if each pair of each token needs its own."""


class Lattice(NamedTuple):
    """The scores of a batch in double precision, time first."""

    scores: Tensor  # (time, batch, tags): emissions plus the scores of start and end; 0 at padding
    transitions: Tensor  # (from, to)
    padding: Tensor  # (time, batch), True at padding
    sentences: Tensor  # (batch,), 0, 1, 2, ...
    last: Tensor  # (batch,), the position of each sentence's last token

    ends: Tensor  # (batch,), the row of each last token in `scores.flatten(0, 1)`


class Factors(NamedTuple):
    """Both passes as scaled sums of exponentials. The scale is the same for all tags of a token, but differs between
    tokens.
    """

    log_z: Tensor  # (batch,)
    forward: Tensor  # (time, batch, tags): the paths up to a token
    backward: Tensor  # (time, batch, tags): the paths after a token
    weight: Tensor  # (time, batch, tags): the paths through a token
    total: Tensor  # (time, batch): the paths through any tag of a token
    moves: Tensor  # (from, to): exponentials of the transitions

    def gradients(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """share (time, batch), 0 at padding -> of scores (time, batch, tags), and of transitions (from, to)."""
        share = (share / self.total)[:, :, None]
        left = (self.forward[:-1] * share[1:]).flatten(0, 1)
        return self.weight * share, (left.t() @ self.backward[1:].flatten(0, 1)).mul_(self.moves)


class Logs(NamedTuple):
    """Both passes as logs of sums."""

    log_z: Tensor  # (batch,)
    forward: Tensor  # (time, batch, tags): the paths up to a token
    backward: Tensor  # (time, batch, tags): the paths after a token
    weight: Tensor  # (time, batch, tags): the paths through a token
    total: Tensor  # (time, batch): the paths through any tag of a token
    moves: Tensor  # (from, to): the transitions

    def gradients(self, share: Tensor) -> tuple[Tensor, Tensor]:
        """share (time, batch), 0 at padding -> of scores (time, batch, tags), and of transitions (from, to)."""
        left = (self.forward[:-1] - self.total[1:, :, None]).flatten(0, 1)
        right, shares = self.backward[1:].flatten(0, 1), share[1:].flatten()
        pairs = torch.zeros_like(self.moves)
        for rows in torch.arange(len(left), device=left.device).split(max(1, CHUNK // self.moves.numel())):
            each = torch.exp(left[rows, :, None] + self.moves + right[rows, None, :])  # (rows, from, to)
            pairs += torch.einsum("r,rij->ij", shares[rows], each)
        return torch.exp(self.weight - self.total[:, :, None]) * share[:, :, None], pairs


def log_likelihood(
    emissions: Tensor, tags: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """emissions (batch, time, tags), tags (batch, time), mask (batch, time) bool -> log p(tags) (batch,)."""
    if emissions.device.type == "mps":  # no double precision there
        return log_space.log_likelihood(emissions, tags, mask, start, transitions, end)
    return _LogLikelihood.apply(emissions, start, transitions, end, tags, mask)


@torch.no_grad()
def log_partition(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """The log of the summed exponentials of all paths' scores (batch,), without a gradient."""
    return both_passes(lattice_of(emissions, mask, start, transitions, end)).log_z.to(emissions.dtype)


@torch.no_grad()
def marginals(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """emissions (batch, time, tags) -> p(tag at each token) (batch, time, tags), 0 at padding."""
    lattice = lattice_of(emissions, mask, start, transitions, end)
    return _batch_first(both_passes(lattice).gradients((~lattice.padding).double())[0], emissions)


def lattice_of(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Lattice:
    """emissions (batch, time, tags), mask (batch, time) bool, start and end (tags,), transitions (from, to)."""
    batch, _, num_tags = emissions.shape
    padding = ~mask.t()
    scores = emissions.transpose(0, 1).to(torch.float64, copy=True, memory_format=torch.contiguous_format)
    scores.masked_fill_(padding[:, :, None], 0.0)  # padding may hold anything
    scores[0].add_(start)
    last = mask.sum(dim=1) - 1
    sentences = torch.arange(batch, device=last.device)
    ends = torch.add(sentences, last, alpha=batch)
    scores.view(-1, num_tags).index_add_(0, ends, end.double().expand(batch, -1))
    return Lattice(scores, transitions.double(), padding, sentences, last, ends)


def both_passes(lattice: Lattice) -> Factors | Logs:
    """As factors if they can be scaled; otherwise as logs."""
    if lattice.scores.device.type != "cpu":
        return log_passes(lattice)
    lowest, highest = map(float, lattice.transitions.aminmax())
    # a step multiplies a sentence's sum by a factor between e^lowest and num_tags * e^highest
    factor = max(-lowest, highest + math.log(len(lattice.transitions)), 1e-3)
    if factor <= WIDEST:
        return factor_passes(lattice, every=int(WIDEST / factor))
    if math.isfinite(highest):
        passes = factor_passes(lattice._replace(transitions=lattice.transitions - highest), every=1)
        if bool((passes.total + lattice.padding > LEAST).all()):  # False for nan
            return passes._replace(log_z=passes.log_z + lattice.last * highest)
    return log_passes(lattice)


def factor_passes(lattice: Lattice, *, every: int) -> Factors:
    """Sums of exponentials, scaled every `every` steps."""
    peaks = lattice.scores.amax(dim=2, keepdim=True)
    factors = (lattice.scores - peaks).exp_()  # (time, batch, tags), the largest of each token is 1
    moves = torch.exp(lattice.transitions)
    reverse = _Reversed(lattice)
    reached = torch.stack([factors, reverse.read(factors)], dim=1)  # (time, 2, batch, tags)
    arriving = torch.ones_like(reached)
    both = torch.stack([moves, moves.t()])
    current, *following = reached.unbind()  # (2, batch, tags) each
    scales = []
    for step, (arrived, emitted) in enumerate(zip(arriving.unbind()[1:], following, strict=True), start=1):
        current = emitted.mul_(torch.bmm(current, both, out=arrived))
        if step % every == 0:
            scale = current.sum(dim=2, keepdim=True)
            current /= scale
            scales.append(scale[1])
    backward = reverse.restore(arriving).mul_(factors)
    weight = arriving[:, 0] * backward
    total = weight.sum(dim=2)
    log_z = total[0].log().add_(peaks.sum(dim=(0, 2)))
    if scales:  # the scales of the second pass on its way to the first token
        positions = torch.arange(every, len(peaks), every)[:, None]
        log_z += torch.where(positions < lattice.last, torch.cat(scales, dim=1).t().log(), 0.0).sum(dim=0)
    return Factors(log_z, reached[:, 0], backward, weight, total, moves)


def log_passes(lattice: Lattice) -> Logs:
    """The same recursion in log space, for any scores."""
    reverse = _Reversed(lattice)
    reached = torch.stack([lattice.scores, reverse.read(lattice.scores)], dim=1)  # (time, 2, batch, tags)
    arriving = torch.zeros_like(reached)
    both = torch.stack([lattice.transitions, lattice.transitions.t()])[:, None]  # (2, 1, from, to)
    current, *following = reached.unbind()  # (2, batch, tags) each
    for arrived, emitted in zip(arriving.unbind()[1:], following, strict=True):
        torch.logsumexp(current[:, :, :, None] + both, dim=2, out=arrived)
        current = emitted.add_(arrived)
    backward = reverse.restore(arriving).add_(lattice.scores)
    weight = arriving[:, 0] + backward
    total = torch.logsumexp(weight, dim=2)
    return Logs(total[0], reached[:, 0], backward, weight, total, lattice.transitions)


class _Reversed:
    """Reads each sentence from its end; after the first token, the first token is repeated."""

    def __init__(self, lattice: Lattice) -> None:
        time, self._batch = lattice.padding.shape
        steps = torch.arange(time, device=lattice.last.device)[:, None]
        self._positions = (lattice.last - steps).clamp_(min=0)  # (time, batch)
        self._sentences = lattice.sentences

    def read(self, scores: Tensor) -> Tensor:
        """(time, batch, tags) -> (time, batch, tags)."""
        return self._rows(scores, self._sentences, 1)

    def restore(self, passes: Tensor) -> Tensor:
        """The second of two passes (time, 2, batch, tags) -> (time, batch, tags)."""
        return self._rows(passes, self._sentences + self._batch, 2)

    def _rows(self, scores: Tensor, first: Tensor, each: int) -> Tensor:
        num_tags = scores.shape[-1]
        rows = torch.add(first, self._positions, alpha=each * self._batch)
        return scores.view(-1, num_tags).index_select(0, rows.view(-1)).view(*rows.shape, num_tags)


def _batch_first(gradient: Tensor, like: Tensor) -> Tensor:
    """(time, batch, tags) -> (batch, time, tags), of the type of `like`."""
    return torch.empty(like.shape, dtype=like.dtype, device=like.device).copy_(gradient.transpose(0, 1))


class _LogLikelihood(torch.autograd.Function):
    """The score of the tags minus log Z (batch,); its gradient is the gold counts minus the marginals."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, tags: Tensor, mask: Tensor
    ) -> Tensor:
        lattice = lattice_of(emissions, mask, start, transitions, end)
        gold = (tags * mask).t()  # padding may hold anything
        moves = torch.add(gold[1:], gold[:-1], alpha=len(start))  # (time - 1, batch)
        moved = lattice.transitions.take(moves).masked_fill_(lattice.padding[1:], 0.0)
        score = lattice.scores.gather(2, gold[:, :, None]).sum(dim=0).squeeze(1).add_(moved.sum(dim=0))
        passes = both_passes(lattice)
        ctx.kind = type(passes)
        real = mask.t().double()
        ctx.save_for_backward(emissions, start, transitions, end, gold, moves, real, lattice.ends, *passes)
        return (score - passes.log_z).to(torch.promote_types(emissions.dtype, torch.float32))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        emissions, start, transitions, end, gold, moves, real, rows, *passes = ctx.saved_tensors
        share = real * grad  # (time, batch)
        scores, pairs = ctx.kind(*passes).gradients(-share)
        scores.scatter_add_(2, gold[:, :, None], share[:, :, None])
        pairs.put_(moves, share[1:], accumulate=True)
        ends = scores.flatten(0, 1).index_select(0, rows).sum(dim=0)
        return (
            _batch_first(scores, emissions),
            scores[0].sum(dim=0).to(start.dtype),
            pairs.to(transitions.dtype),
            ends.to(end.dtype),
            None,
            None,
        )
