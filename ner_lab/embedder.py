"""From a batch to one vector for each token: word, letters and dense features, joined."""

import torch
from torch import Tensor, nn

from ner_lab.data.batch import Batch
from ner_lab.features.base import FeatureLayers


class Embedder(nn.Module):
    """Joins the vectors of its parts. Letters are encoded once for each distinct spelling of a batch."""

    def __init__(self, words: nn.Module, chars: nn.Module, features: FeatureLayers) -> None:
        super().__init__()
        self.words = words
        self.chars = chars
        self.features = features
        self.spelling_dim: int = words.output_dim + chars.output_dim  # type: ignore[operator, assignment]
        self.output_dim: int = self.spelling_dim + features.output_dim

    def forward(self, batch: Batch) -> Tensor:
        """-> (batch, time, output_dim)."""
        spelt = self.chars(batch.chars, batch.char_lengths)  # (forms, dim)
        parts = [self.words(batch.words), spelt[batch.forms], self.features(batch)]
        return torch.cat(parts, dim=-1)

    def of_spellings(self, words: Tensor, chars: Tensor, lengths: Tensor) -> Tensor:
        """What a word's spelling alone says, with which `forward`'s vectors begin.

        words (forms,), chars (forms, letters), lengths (forms,) -> (forms, spelling_dim).
        """
        return torch.cat([self.words(words[None]).squeeze(0), self.chars(chars, lengths)], dim=-1)
