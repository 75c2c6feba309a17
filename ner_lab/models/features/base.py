"""The base of feature sets: extraction from a sentence, and the layers that use the features."""

import hashlib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import FeatureVocab
from ner_lab.errors import UserError
from ner_lab.models.layers.sparse_gradients import use_sparse_gradients


class FeatureSet:
    """Extracts features of sentences. Subclasses set their `columns` and override `dense` or `sparse`.

    Dense features are columns of categories, one value per word; each column has an embedding table and is part of the
    encoder's input. Sparse features are any number of named on/off features per word, `template=value`; each has a
    score for every tag and goes straight to the decoder (Huang et al. 2015, section 4.2.4), or wherever a
    `FeatureUnion` wires it.
    """

    columns: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    """Additional columns of the corpus (`pos`, `chunk`) that it reads, if present."""
    min_count: int = 1
    """Sparse features with fewer occurrences in train are left out."""

    def learn(self, train: Sequence[Sentence]) -> Any:
        """What the set must learn from train before it reads any sentence: plain data, stored in the checkpoint."""
        return None

    def remember(self, learnt: Any) -> None:
        """Take the result of `learn`, before the first sentence is read."""

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """For each column, one value per word."""
        return []

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word, the names of its features; `[]` for a set without sparse features."""
        return []

    def dims(self) -> dict[str, int | None]:
        """Size of each column's vectors; None for fixed orthogonal codes, with one dimension for each value."""
        return {}

    def layers(self, vocab: FeatureVocab, tags: Sequence[str]) -> "FeatureLayers":
        """The trainable layers for these values and features."""
        scores = SparseSum(len(vocab.sparse), len(tags)) if len(vocab.sparse) else None
        return FeatureLayers(column_sizes(vocab), self.dims(), scores=scores)

    def fingerprint(self) -> dict[str, Any]:
        """The class, its code and its settings: changes whenever the features would. `_names` are caches."""
        settings = {
            name: re.sub(r" at 0x\w+", "", repr(value))
            for name, value in sorted(vars(self).items())
            if not name.startswith("_")
        }
        return {"class": type(self).__qualname__, "code": code_sum(type(self)), "settings": settings}


def code_sum(kind: type, *read_with: ModuleType) -> str:
    """A checksum of the code of a feature set: its own module and the modules it reads with."""
    modules = [sys.modules[kind.__module__], *read_with]
    return hashlib.sha256("".join(map(inspect.getsource, modules)).encode()).hexdigest()


def column_sizes(vocab: FeatureVocab) -> dict[str, int]:
    """The number of values of each dense column."""
    return {name: len(values) for name, values in vocab.columns.items()}


class FeatureLayers(nn.Module):
    """Vectors of the dense columns, and the use of the sparse features.

    scores: from sparse features to tags, bypassing the encoder; vectors: from sparse features to a vector that joins
    the encoder's input. Both take feature numbers and the start of each token's features.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        dims: Mapping[str, int | None],
        *,
        scores: nn.Module | None = None,
        vectors: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if without := [column for column in sizes if column not in dims]:
            raise UserError(
                f"features: `dims` has no size for {', '.join(without)}. Add a size for each of `columns`, or None for "
                "orthogonal codes."
            )
        self.tables = nn.ModuleList(_table(size, dims[column]) for column, size in sizes.items())
        self.scores = scores
        self.vectors = vectors
        widths = [table.embedding_dim for table in self.tables]
        self.output_dim: int = sum(widths) + (vectors.output_dim if vectors is not None else 0)  # type: ignore[arg-type, operator, assignment]

    def forward(self, batch: Batch) -> Tensor:
        """-> vectors for the encoder (batch, time, output_dim)."""
        parts = [table(batch.categories[:, :, column]) for column, table in enumerate(self.tables)]
        if self.vectors is not None:
            parts.append(self._each_token(self.vectors, batch))
        if not parts:
            return torch.zeros((*batch.words.shape, 0), device=batch.words.device)
        return torch.cat(parts, dim=-1)

    def direct(self, batch: Batch) -> Tensor | None:
        """-> scores of sparse features (batch, time, tags), or None if none go straight to the decoder."""
        return None if self.scores is None else self._each_token(self.scores, batch)

    def _each_token(self, layer: nn.Module, batch: Batch) -> Tensor:
        batch_size, time = batch.words.shape
        return layer(batch.sparse, batch.sparse_offsets).view(batch_size, time, -1)


def _table(size: int, dim: int | None) -> nn.Embedding:
    if dim is not None:
        return nn.Embedding(size, dim, padding_idx=0)
    return nn.Embedding.from_pretrained(torch.eye(size)[:, 1:], padding_idx=0)  # padding has no code


class SparseSum(nn.Module):
    """A vector for each sparse feature, initially zero, summed over a token's features."""

    def __init__(self, num_sparse: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_sparse, dim))
        self.output_dim = dim

    def embedding_rows(self, features: Tensor, offsets: Tensor) -> tuple[nn.Parameter, Tensor]:
        """features (active,), offsets (tokens,) -> the weights, and the rows of them that `forward` reads (active,)."""
        return self.weight, features

    def forward(self, features: Tensor, offsets: Tensor) -> Tensor:
        """features (active,), offsets (tokens,) -> (tokens, dim)."""
        return F.embedding_bag(features, self.weight, offsets, mode="sum", sparse=use_sparse_gradients(self.weight))
