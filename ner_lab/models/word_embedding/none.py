"""No word embedding: words are represented by their characters and features alone."""

import torch
from torch import Tensor, nn

from ner_lab.models.word_embedding.base import WordEmbedding


class NoWords(WordEmbedding):
    """Gives every word a vector of no dimensions."""

    def layer(self, *, num_words: int, num_known: int, vector_dim: int) -> nn.Module:
        return _Nothing()


class _Nothing(nn.Module):
    output_dim = 0

    def forward(self, words: Tensor) -> Tensor:
        """words (batch, time) -> (batch, time, 0)."""
        return torch.zeros((*words.shape, 0), device=words.device)
