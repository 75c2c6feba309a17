"""Word vectors that start at random."""

from torch import nn

from ner_lab.models.layers.checks import check_int_range
from ner_lab.models.word_embedding.base import WordEmbedding, WordTable


class RandomWords(WordEmbedding):
    """`dim` dimensions, uniform in +-sqrt(3 / dim) (Ma & Hovy 2016, section 3.1)."""

    from_scratch = True

    def __init__(self, *, dim: int) -> None:
        check_int_range(1, "word_embedding", dim=dim)
        self.dim = dim

    def layer(self, *, num_words: int, num_known: int, vector_dim: int) -> nn.Module:
        return WordTable(num_words, 0, self.dim)
