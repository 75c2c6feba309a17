"""Inference with a score at every token for each pair of a tag and the previous tag.

The scores are `pairs (batch, time, before, tags)`. The last row of `before` is the sentence boundary, which precedes
the first token; it is not read after the first token.

The partition function has its gradient in closed form, from two passes that run in parallel from both ends. On a CPU
they are matrix products of scaled exponentials. If an exponential would underflow, and on a GPU, which would have to
synchronise to find out, they run in log space, in double precision.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ner_lab.models.decoder.chain.n_best import n_best
from ner_lab.models.decoder.chain.viterbi import viterbi

WIDEST = 60.0  # spread of a step's scores for which exponentials are used: e^-60 is far above the smallest float32


def gold_pairs(pairs: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """pairs (batch, time, before, tags), tags (batch, time) -> score of each gold step (batch, time), 0 at padding."""
    tags = tags * mask  # padding may hold anything
    num_before, num_tags = pairs.shape[2:]
    before = F.pad(tags[:, :-1], (1, 0), value=num_before - 1)
    gold = pairs.flatten(2).gather(2, (before * num_tags + tags)[:, :, None]).squeeze(2)
    return torch.where(mask, gold, 0.0)


def best_path(pairs: Tensor, mask: Tensor, penalties: Tensor | None = None) -> Tensor:
    """pairs (batch, time, tags + 1, tags) -> best tags (batch, time), 0 at padding.

    penalties (tags + 1, tags + 1), added: from each tag or the boundary to each tag or the boundary.
    """
    return viterbi(*_lattice(pairs, mask, penalties))[0]


def best_paths(pairs: Tensor, mask: Tensor, n: int, penalties: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The same for the n best paths -> (batch, n, time), and their scores (batch, n), -inf for missing ones."""
    return n_best(*_lattice(pairs, mask, penalties), n)


def _lattice(pairs: Tensor, mask: Tensor, penalties: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """-> emissions, all zero; mask; start; transitions; end."""
    num_tags = pairs.shape[3]
    end = pairs.new_zeros(num_tags)
    if penalties is not None:
        pairs, end = pairs + penalties[:, :-1], penalties[:-1, -1]
    no_emissions = pairs.new_zeros(()).expand(*pairs.shape[:2], num_tags)
    return no_emissions, mask, pairs[:, 0, -1], pairs[:, :, :-1], end


def log_partition(start: Tensor, transitions: Tensor, mask: Tensor) -> Tensor:
    """The log of the summed exponentials of all paths' scores (batch,).

    start (batch, tags): scores of the first token's tags; transitions (batch, time, from, to): entry t is the step into
    token t, and entry 0 is not read.
    """
    if start.is_cpu and _is_narrow(transitions.detach(), mask):
        with torch.autocast("cpu", enabled=False):  # half precision cannot represent e^-60
            return _LogPartition.apply(_single_or_wider(start), _single_or_wider(transitions), mask)
    return _LogPartitionByLogs.apply(start, transitions, mask)


def _is_narrow(transitions: Tensor, mask: Tensor) -> bool:
    """Whether no step's scores differ so much that an exponential would underflow."""
    steps = transitions[:, 1:]
    spread = steps.amax(dim=(2, 3)) - steps.amin(dim=(2, 3))  # (batch, time - 1)
    return bool(((spread < WIDEST) | ~mask[:, 1:]).all())


def _single_or_wider(scores: Tensor) -> Tensor:
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


class _LogPartition(torch.autograd.Function):
    """log Z (batch,) with the marginals of pairs as its gradient."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, transitions: Tensor, mask: Tensor) -> Tensor:
        batch, num_tags = start.shape
        largest = transitions[:, 1:].amax(dim=(2, 3), keepdim=True)
        weights = torch.exp(transitions[:, 1:] - largest)  # (batch, time - 1, from, to)
        identity = torch.eye(num_tags, dtype=start.dtype, device=start.device)
        weights = torch.where(mask[:, 1:, None, None], weights, identity)  # padding passes its input on
        both = torch.cat([weights, weights.flip(1).transpose(2, 3)]).transpose(0, 1).contiguous()
        # the upper half of the rows reads from the front, the lower half from the end; each step is scaled to a sum of
        # 1, which avoids underflow and overflow over long sentences
        current = torch.cat([torch.softmax(start, dim=1), torch.full_like(start, 1 / num_tags)])[:, None]
        states, totals = [current], []
        for step in both:
            current = torch.bmm(current, step)  # (2 * batch, 1, tags)
            total = current.sum(dim=2, keepdim=True)
            current = current / total
            states.append(current)
            totals.append(total)
        passes = torch.cat(states, dim=1)
        alpha, beta = passes[:batch], passes[batch:].flip(1)  # (batch, time, tags)
        log_z = torch.logsumexp(start, dim=1)
        if totals:
            taken = torch.cat(totals, dim=1)[:batch, :, 0].log().double() + largest[:, :, 0, 0]
            log_z = log_z + torch.where(mask[:, 1:], taken, 0.0).sum(dim=1).to(log_z.dtype)
        ctx.save_for_backward(alpha, beta, weights, mask)
        return log_z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        alpha, beta, weights, mask = ctx.saved_tensors
        first = alpha[:, 0] * beta[:, 0]
        first = first * (grad[:, None] / first.sum(dim=1, keepdim=True))
        before, after = alpha[:, :-1, :, None], beta[:, 1:, None, :]
        pairs = before * weights * after  # (batch, time - 1, from, to)
        share = grad[:, None] / pairs.sum(dim=(2, 3))
        pairs = pairs * torch.where(mask[:, 1:], share, 0.0)[:, :, None, None]
        return first, F.pad(pairs, (0, 0, 0, 0, 1, 0)), None


class _LogPartitionByLogs(torch.autograd.Function):
    """The same for any scores. Double precision represents their sums, and autocast leaves it alone."""

    @staticmethod
    def forward(ctx: Any, start: Tensor, transitions: Tensor, mask: Tensor) -> Tensor:
        batch, num_tags = start.shape
        first, moves = start.double(), transitions[:, 1:].double()  # (batch, tags), (batch, time - 1, from, to)
        identity = torch.eye(num_tags, dtype=first.dtype, device=start.device).log()
        moves = torch.where(mask[:, 1:, None, None], moves, identity)  # padding passes its input on
        both = torch.cat([moves, moves.flip(1).transpose(2, 3)]).unbind(1)
        current = torch.cat([first, torch.zeros_like(first)])  # (2 * batch, tags)
        states = [current]
        for step in both:
            current = torch.logsumexp(current[:, :, None] + step, dim=1)
            states.append(current)
        passes = torch.stack(states, dim=1)
        alpha, beta = passes[:batch], passes[batch:].flip(1)  # (batch, time, tags)
        log_z = torch.logsumexp(alpha[:, -1], dim=1)
        ctx.save_for_backward(alpha, beta, moves, mask, log_z)
        ctx.dtypes = start.dtype, transitions.dtype
        return log_z.to(_single_or_wider(start[:0]).dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        alpha, beta, moves, mask, log_z = ctx.saved_tensors
        of_start, of_transitions = ctx.dtypes
        first = torch.exp(alpha[:, 0] + beta[:, 0] - log_z[:, None]) * grad[:, None]
        paths = alpha[:, :-1, :, None] + moves + beta[:, 1:, None, :] - log_z[:, None, None, None]
        pairs = torch.exp(paths) * torch.where(mask[:, 1:], grad[:, None], 0.0)[:, :, None, None]
        return first.to(of_start), F.pad(pairs, (0, 0, 0, 0, 1, 0)).to(of_transitions), None
