"""Embed a batch as one vector per token: word, characters and dense features, concatenated."""

import torch
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.models.features.base import FeatureLayers

_MOST_LETTERS = 2**17
"""Maximum cells of a batch's spellings (spellings times the longest of them) that are encoded together."""


class Embedder(nn.Module):
    """Concatenates the vectors of its parts. Characters are encoded once for each distinct spelling of a batch."""

    def __init__(self, words: nn.Module, chars: nn.Module, features: FeatureLayers) -> None:
        super().__init__()
        self.words = words
        self.chars = chars
        self.features = features
        self.spelling_dim: int = words.output_dim + chars.output_dim  # type: ignore[operator, assignment]
        self.output_dim: int = self.spelling_dim + features.output_dim

    def forward(self, batch: Batch) -> Tensor:
        """-> (batch, time, output_dim)."""
        spelt = self._spelt(batch.chars, batch.char_lengths)  # (forms, dim)
        parts = [self.words(batch.words), spelt[batch.forms], self.features(batch)]
        return torch.cat(parts, dim=-1)

    def _spelt(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """chars (forms, characters), lengths (forms,) -> (forms, dim).

        If a very long word would pad all others, words of similar length are encoded together, to limit memory to that
        of their own characters.
        """
        if chars.numel() <= _MOST_LETTERS:
            return self.chars(chars, lengths)
        widths, order = lengths.sort()
        parts = [
            self.chars(chars[rows, : int(own[-1])], own)
            for rows, own in zip(*(values.split(_parts(widths.tolist())) for values in (order, widths)), strict=True)
        ]
        return torch.cat(parts)[order.argsort()]

    def of_spellings(self, words: Tensor, chars: Tensor, lengths: Tensor) -> Tensor:
        """The part of a word's vector that depends on its spelling alone, with which `forward`'s vectors begin.

        words (forms,), chars (forms, characters), lengths (forms,) -> (forms, spelling_dim).
        """
        return torch.cat([self.words(words[None]).squeeze(0), self.chars(chars, lengths)], dim=-1)


def _parts(widths: list[int]) -> list[int]:
    """The number of these words, sorted by length, in each part of at most `_MOST_LETTERS`."""
    counts, count = [], 0
    for width in widths:
        if count and (count + 1) * width > _MOST_LETTERS:
            counts.append(count)
            count = 0
        count += 1
    return [*counts, count]
