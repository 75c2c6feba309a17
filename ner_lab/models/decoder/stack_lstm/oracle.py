"""The oracle's actions for a batch, and where to find the states from which each action is chosen.

The oracle is known before any state, so the states can be computed by a few runs over complete sequences and looked up
afterwards. It does the same as `ner_lab.models.decoder.stack_lstm.actions.oracle`, on numbers.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Oracle:
    """Index tensors of a batch. Tokens are numbered through the padded batch, `sentence * time + position`.

    Row 0 of the chunks is not a chunk: it has no tokens and represents the empty stack.
    """

    actions: Tensor
    """(batch, longest) the actions of each sentence, 0 after the last action"""
    items: Tensor
    """(batch, longest) what goes to the output: a token's number, or a chunk's, which follow all tokens'"""
    chunk_tokens: Tensor
    """(chunks, longest) the tokens of each chunk; any token after the last"""
    chunk_lengths: Tensor
    """(chunks,) tokens of each chunk"""
    chunk_types: Tensor
    """(chunks,) type of each chunk"""
    action: Tensor
    """(steps,) each action of the batch; the following fields describe the state before it"""
    sentence: Tensor
    """(steps,) the sentence it belongs to"""
    done: Tensor
    """(steps,) actions before it"""
    unread: Tensor
    """(steps,) words in the buffer"""
    written: Tensor
    """(steps,) items in the output"""
    chunk: Tensor
    """(steps,) the chunk that is being read"""
    held: Tensor
    """(steps,) words on the stack: the first words of that chunk"""

    @classmethod
    def of(cls, types: Tensor, starts: Tensor, mask: Tensor) -> Self:
        """types (batch, time) entity type of each token, -1 for none; starts (batch, time): whether it begins a span.

        Action 0 is SHIFT, 1 is OUT, 2 + y is REDUCE to type y.
        """
        batch, time = mask.shape
        position = torch.arange(time, device=mask.device).expand(batch, -1)
        inside = types >= 0
        continues = F.pad((inside & ~starts)[:, 1:], (0, 1))
        ends = inside & ~continues
        begin = torch.where(starts, position, 0).cummax(dim=1).values
        chunk = torch.where(inside, starts.flatten().cumsum(0).view(batch, time), 0)
        token = position + time * torch.arange(batch, device=mask.device)[:, None]

        def each(taken: Tensor, reduced: Tensor) -> Tensor:
            """A value for the action that takes each token, and one for the REDUCE after it."""
            return torch.stack([taken, reduced], dim=2).flatten()  # (batch * time * 2,)

        def before(happens: Tensor) -> Tensor:
            """The number of earlier occurrences in the sentence."""
            counted = happens.view(batch, -1).long()
            return (counted.cumsum(dim=1) - counted).flatten()

        happens, writes = each(mask, ends), each(mask & ~inside, ends)
        steps = happens.nonzero().squeeze(1)
        sentence, done, written = steps // (2 * time), before(happens)[steps], before(writes)[steps]
        action = each((~inside).long(), 2 + types)[steps]
        left = mask.sum(dim=1, keepdim=True) - position
        item = each(token, batch * time + chunk)[steps]
        wrote = writes[steps].nonzero().squeeze(1)
        first, lengths = _chunks(starts, ends)
        return cls(
            actions=_rows(sentence, done, action, batch),
            items=_rows(sentence[wrote], written[wrote], item[wrote], batch),
            chunk_tokens=_tokens(first, lengths, batch * time),
            chunk_lengths=lengths,
            chunk_types=torch.where(lengths > 0, types.flatten()[first], 0),
            action=action,
            sentence=sentence,
            done=done,
            unread=each(left, left - 1)[steps],
            written=written,
            chunk=each(chunk, chunk)[steps],
            held=each(torch.where(inside, position - begin, 0), position - begin + 1)[steps],
        )


def _chunks(starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """First token and length of each chunk, after those of the empty one."""
    first, last = (F.pad(where.flatten().nonzero().squeeze(1), (1, 0)) for where in (starts, ends))
    lengths = last - first + 1
    lengths[0] = 0
    return first, lengths


def _tokens(first: Tensor, lengths: Tensor, tokens: int) -> Tensor:
    """-> (chunks, longest); positions after a chunk hold the tokens that follow it."""
    steps = torch.arange(max(int(lengths.max()), 1), device=first.device)
    return (first[:, None] + steps).clamp(max=tokens - 1)


def _rows(row: Tensor, column: Tensor, values: Tensor, rows: int) -> Tensor:
    """-> (rows, longest), 0 where there is no value."""
    table = values.new_zeros(rows, int(column.max()) + 1 if len(column) else 0)
    table[row, column] = values
    return table
