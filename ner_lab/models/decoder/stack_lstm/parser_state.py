"""Parsing progress of each sentence of a batch, while its actions are chosen one by one."""

import torch
from torch import Tensor


class ParserState:
    """Words in the buffer, words on the stack, and the chunks made by REDUCE so far.

    mask (batch, time): True for tokens. Methods take the sentences that act, `rows`, without repetition.
    """

    def __init__(self, mask: Tensor) -> None:
        self.lengths = mask.sum(dim=1)
        self.unread = self.lengths.clone()
        """(batch,) words in the buffer"""
        self.held = torch.zeros_like(mask)
        """(batch, time) whether a token is on the stack"""
        self.chunks = torch.zeros_like(mask, dtype=torch.long)
        """(batch, time) number of the chunk a token went into, 0 for none"""
        self.types = torch.zeros_like(self.chunks)
        """(batch, time) type of that chunk"""
        self._reduced = 0

    def unfinished(self) -> Tensor:
        """-> rows of the sentences with words in buffer or stack."""
        return ((self.unread > 0) | self.held.any(dim=1)).nonzero().squeeze(1)

    def next(self, rows: Tensor) -> Tensor:
        """Take the next word off the buffer -> its position in the sentence (rows,)."""
        positions = self.lengths[rows] - self.unread[rows]
        self.unread[rows] -= 1
        return positions

    def shift(self, rows: Tensor) -> Tensor:
        """Move the next word onto the stack -> its position (rows,)."""
        positions = self.next(rows)
        self.held[rows, positions] = True
        return positions

    def reduce(self, rows: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
        """Empty the stack into a chunk -> its positions in order (rows, longest), then anything; their number
        (rows,).
        """
        held = self.held[rows]
        self._reduced += 1
        self.chunks[rows] += self._reduced * held
        self.types[rows] += types[:, None] * held
        self.held[rows] = False
        sizes = held.sum(dim=1)
        return (~held).long().argsort(dim=1, stable=True)[:, : int(sizes.max())], sizes
