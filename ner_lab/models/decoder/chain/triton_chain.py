"""The linear-chain CRF as GPU kernels in Triton: a launch for the likelihood, one for its gradient, two for Viterbi.

A program takes a sentence; its tags, filled up to a power of two, lie side by side in registers with the whole
matrix of transitions. All sums are taken in log space, in single precision, less their largest term: transitions
may lie as far apart as they like, -inf included, and nothing need be known of them beforehand.

Beyond `MOST_TAGS` the matrix would not fit into registers, and `forward_backward` takes over. So far these kernels
have run in Triton's interpreter alone, never on a card: `takes` therefore compares each size with PyTorch once,
on the card it meets, before the kernels are used there.
"""

import logging
from functools import cache
from typing import Any

import torch
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]
from torch import Tensor
from torch.autograd.function import once_differentiable

from ner_lab.models.decoder.chain import forward_backward
from ner_lab.models.decoder.chain.viterbi import viterbi as viterbi_by_pytorch

log = logging.getLogger(__name__)

MOST_TAGS = 128


def takes(emissions: Tensor) -> bool:
    """Whether the kernels serve for emissions (batch, time, tags) of this type, size and device."""
    if not emissions.is_cuda or emissions.dtype == torch.float64 or emissions.shape[2] > MOST_TAGS:
        return False
    return _agrees_with_pytorch(_width(emissions.shape[2]), emissions.device)


def log_likelihood(
    emissions: Tensor, tags: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """emissions (batch, time, tags), tags (batch, time), mask (batch, time) bool -> log p(tags) (batch,)."""
    return _LogLikelihood.apply(emissions, start, transitions, end, tags, mask)


@torch.no_grad()
def viterbi(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """-> best tags (batch, time), 0 at padding, and their score (batch,). Of equal scores the first tag wins."""
    batch, time, num_tags = emissions.shape
    start, transitions, end = (scores.float().contiguous() for scores in (start, transitions, end))
    lengths = mask.sum(dim=1)
    origins = lengths.new_empty((batch, time, num_tags), dtype=torch.int32)
    last, best = torch.empty_like(lengths), start.new_empty(batch)
    path = torch.empty_like(mask, dtype=torch.long, memory_format=torch.contiguous_format)
    sizes = (time, num_tags)
    options = _options(num_tags)
    _viterbi_ahead[(batch,)](
        emissions.contiguous(), lengths, start, transitions, end, origins, last, best, *sizes, **options
    )
    _viterbi_back[(batch,)](lengths, origins, last, path, *sizes, num_warps=1)
    return path, best


class _LogLikelihood(torch.autograd.Function):
    """The score of the tags less log Z (batch,)."""

    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor, tags: Tensor, mask: Tensor
    ) -> Tensor:
        batch, time, num_tags = emissions.shape
        ctx.dtypes = start.dtype, transitions.dtype, end.dtype
        start, transitions, end = (scores.float().contiguous() for scores in (start, transitions, end))
        emissions, tags, lengths = emissions.contiguous(), tags.contiguous(), mask.sum(dim=1)
        ahead = start.new_empty(emissions.shape)
        found = start.new_empty(batch)
        _ahead[(batch,)](
            emissions, tags, lengths, start, transitions, end, ahead, found, time, num_tags, **_options(num_tags)
        )
        ctx.save_for_backward(emissions, tags, lengths, transitions, end, ahead)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        emissions, tags, lengths, transitions, end, ahead = ctx.saved_tensors
        batch, time, num_tags = emissions.shape
        of_emissions = torch.empty_like(emissions)
        # a place of its own for each sentence: what many add up in one place would differ from run to run
        of_pairs = ahead.new_empty(batch, num_tags, num_tags)
        of_ends = ahead.new_empty(2, batch, num_tags)
        _back[(batch,)](
            emissions,
            tags,
            lengths,
            transitions,
            end,
            ahead,
            grad.float().contiguous(),
            of_emissions,
            of_pairs,
            of_ends,
            time,
            num_tags,
            **_options(num_tags),
        )
        of_start, of_end = of_ends.sum(dim=1)
        grads = (of_start, of_pairs.sum(dim=0), of_end)
        return of_emissions, *(g.to(dtype) for g, dtype in zip(grads, ctx.dtypes, strict=True)), None, None


@triton.jit
def _log_sum(scores, axis: tl.constexpr):  # type: ignore[no-untyped-def]
    """The log of the summed exponentials along an axis of a matrix; -inf where there is nothing else."""
    largest = tl.max(scores, axis)
    largest = tl.where(largest == float("-inf"), 0.0, largest)
    return largest + tl.log(tl.sum(tl.exp(scores - tl.expand_dims(largest, axis)), axis))


@triton.jit
def _ahead(  # type: ignore[no-untyped-def]
    emissions, tags, lengths, start, transitions, end, ahead, found, time, num_tags, WIDTH: tl.constexpr
):
    sentence = tl.program_id(0).to(tl.int64)
    tag = tl.arange(0, WIDTH)
    inside = tag < num_tags
    nothing = float("-inf")
    cells = tag[:, None] * num_tags + tag[None, :]
    moves = tl.load(transitions + cells, mask=inside[:, None] & inside[None, :], other=nothing)  # (from, to)
    length = tl.load(lengths + sentence)
    emissions += sentence * time * num_tags
    ahead += sentence * time * num_tags
    tags += sentence * time
    before = tl.load(tags)
    gold = (tl.load(start + before) + tl.load(emissions + before).to(tl.float32)).to(tl.float64)
    current = tl.load(emissions + tag, mask=inside, other=nothing).to(tl.float32)
    current += tl.load(start + tag, mask=inside, other=0.0)
    peak = tl.max(current, 0)  # taken off, so that numbers stay small over long sentences
    taken = peak.to(tl.float64)
    current -= peak
    tl.store(ahead + tag, current, mask=inside)
    for step in range(1, length):
        row = step * num_tags
        emitted = tl.load(emissions + row + tag, mask=inside, other=nothing).to(tl.float32)
        current = _log_sum(current[:, None] + moves, 0) + emitted
        peak = tl.max(current, 0)
        taken += peak.to(tl.float64)
        current -= peak
        tl.store(ahead + row + tag, current, mask=inside)
        own = tl.load(tags + step)
        moved = tl.load(transitions + before * num_tags + own)
        gold += (moved + tl.load(emissions + row + own).to(tl.float32)).to(tl.float64)
        before = own
    gold += tl.load(end + before).to(tl.float64)
    current += tl.load(end + tag, mask=inside, other=0.0)
    peak = tl.max(current, 0)
    log_z = taken + (peak + tl.log(tl.sum(tl.exp(current - peak), 0))).to(tl.float64)
    tl.store(found + sentence, (gold - log_z).to(tl.float32))


@triton.jit
def _back(  # type: ignore[no-untyped-def]
    emissions,
    tags,
    lengths,
    transitions,
    end,
    ahead,
    grads,
    of_emissions,
    of_pairs,
    of_ends,
    time,
    num_tags,
    WIDTH: tl.constexpr,
):
    sentence = tl.program_id(0).to(tl.int64)
    tag = tl.arange(0, WIDTH)
    inside = tag < num_tags
    nothing = float("-inf")
    cells = tag[:, None] * num_tags + tag[None, :]
    both_inside = inside[:, None] & inside[None, :]
    moves = tl.load(transitions + cells, mask=both_inside, other=nothing)  # (from, to)
    length = tl.load(lengths + sentence)
    grad = tl.load(grads + sentence)
    emissions += sentence * time * num_tags
    of_emissions += sentence * time * num_tags
    ahead += sentence * time * num_tags
    tags += sentence * time
    for step in range(length, time):
        tl.store(of_emissions + step * num_tags + tag, tl.zeros([WIDTH], tl.float32), mask=inside)
    pairs = tl.zeros([WIDTH, WIDTH], tl.float32)
    behind = tl.load(end + tag, mask=inside, other=nothing)  # the paths behind a token, without its emission
    reached = tl.load(ahead + (length - 1) * num_tags + tag, mask=inside, other=nothing)
    own = tl.load(tags + length - 1)
    for done in range(1, length):
        step = length - done
        row = step * num_tags
        through = reached + behind
        share = tl.exp(through - tl.max(through, 0))
        share = (tag == own).to(tl.float32) - share / tl.sum(share, 0)
        tl.store(of_emissions + row + tag, grad * share, mask=inside)
        if done == 1:
            tl.store(of_ends + (tl.num_programs(0) + sentence) * num_tags + tag, grad * share, mask=inside)
        emitted = tl.load(emissions + row + tag, mask=inside, other=nothing).to(tl.float32)
        onwards = moves + (behind + emitted)[None, :]
        reached = tl.load(ahead + row - num_tags + tag, mask=inside, other=nothing)
        weight = reached[:, None] + onwards
        weight = tl.exp(weight - tl.max(tl.max(weight, 1), 0))
        before = tl.load(tags + step - 1)
        gold = ((tag == before)[:, None] & (tag == own)[None, :]).to(tl.float32)
        pairs += gold - weight / tl.sum(tl.sum(weight, 1), 0)
        behind = _log_sum(onwards, 1)
        behind -= tl.max(behind, 0)
        own = before
    through = reached + behind
    share = tl.exp(through - tl.max(through, 0))
    share = (tag == own).to(tl.float32) - share / tl.sum(share, 0)
    tl.store(of_emissions + tag, grad * share, mask=inside)
    tl.store(of_ends + sentence * num_tags + tag, grad * share, mask=inside)
    if length == 1:
        tl.store(of_ends + (tl.num_programs(0) + sentence) * num_tags + tag, grad * share, mask=inside)
    tl.store(of_pairs + sentence * num_tags * num_tags + cells, grad * pairs, mask=both_inside)


@triton.jit
def _viterbi_ahead(  # type: ignore[no-untyped-def]
    emissions, lengths, start, transitions, end, origins, last, best, time, num_tags, WIDTH: tl.constexpr
):
    sentence = tl.program_id(0).to(tl.int64)
    tag = tl.arange(0, WIDTH)
    inside = tag < num_tags
    nothing = float("-inf")
    cells = tag[:, None] * num_tags + tag[None, :]
    moves = tl.load(transitions + cells, mask=inside[:, None] & inside[None, :], other=nothing)  # (from, to)
    length = tl.load(lengths + sentence)
    emissions += sentence * time * num_tags
    origins += sentence * time * num_tags
    current = tl.load(emissions + tag, mask=inside, other=nothing).to(tl.float32)
    current += tl.load(start + tag, mask=inside, other=0.0)
    for step in range(1, length):
        row = step * num_tags
        arriving = current[:, None] + moves
        tl.store(origins + row + tag, tl.argmax(arriving, 0).to(tl.int32), mask=inside)
        current = tl.max(arriving, 0)
        current += tl.load(emissions + row + tag, mask=inside, other=nothing).to(tl.float32)
    current += tl.load(end + tag, mask=inside, other=0.0)
    tl.store(best + sentence, tl.max(current, 0))
    tl.store(last + sentence, tl.argmax(current, 0).to(tl.int64))


@triton.jit
def _viterbi_back(lengths, origins, last, path, time, num_tags):  # type: ignore[no-untyped-def]
    sentence = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + sentence)
    own = tl.load(last + sentence)
    origins += sentence * time * num_tags
    path += sentence * time
    for step in range(length, time):
        tl.store(path + step, 0)
    for done in range(1, length):
        step = length - done
        tl.store(path + step, own)
        own = tl.load(origins + step * num_tags + own).to(tl.int64)
    tl.store(path, own)


def _width(num_tags: int) -> int:
    return max(16, triton.next_power_of_2(num_tags))


def _options(num_tags: int) -> dict[str, int]:
    width = _width(num_tags)
    return {"WIDTH": width, "num_warps": 8 if width > 64 else 4 if width > 32 else 1}


@cache
def _agrees_with_pytorch(num_tags: int, device: torch.device) -> bool:
    """Whether a small batch gets the same likelihoods, gradients and paths; a card waits for this once."""
    try:
        return _compare(num_tags, device)
    except Exception as error:
        log.warning("The CRF's kernels fail on %s, so PyTorch takes over (slower, the same numbers): %s", device, error)
        return False


def _compare(num_tags: int, device: torch.device) -> bool:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 6, num_tags), (num_tags,), (num_tags, num_tags), (num_tags,)]
    scores = [torch.randn(shape, generator=generator).to(device).requires_grad_() for shape in shapes]
    tags = torch.randint(num_tags, (3, 6), generator=generator).to(device)
    mask = torch.arange(6, device=device) < torch.tensor([[6], [1], [4]], device=device)
    ours, theirs = (
        [found.detach(), *torch.autograd.grad(found.sum(), scores)]
        for found in (
            function(scores[0], tags, mask, *scores[1:])
            for function in (log_likelihood, forward_backward.log_likelihood)
        )
    )
    paths = [function(scores[0], mask, *scores[1:])[0] for function in (viterbi, viterbi_by_pytorch)]
    agree = torch.equal(*paths) and all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))
    if not agree:
        log.warning("The CRF's kernels compute other numbers than PyTorch on %s: PyTorch takes over.", device)
    return agree
