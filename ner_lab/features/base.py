"""What a feature set is: extraction from a sentence, and the layers that use what was extracted."""

import hashlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ner_lab.data.batch import Batch
from ner_lab.data.sentence import Sentence


class FeatureSet:
    """Reads features off sentences. Subclasses name their `columns` and override `dense` or `sparse`.

    Dense features are columns of categories, one value a word; each column has an embedding table
    and joins the encoder's input. Sparse features are any number of named on/off features a word;
    each has a score for every tag and goes straight to the decoder (Huang et al. 2015, section 4.2.4).
    """

    columns: tuple[str, ...] = ()
    min_count: int = 1
    """A sparse feature seen less often in train is left out."""

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """For each column, one value a word."""
        return []

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word, the names of its features; `[]` for a set without sparse features."""
        return []

    def dims(self) -> dict[str, int]:
        """Size of each column's vectors."""
        return {}

    def layers(self, column_sizes: Mapping[str, int], num_sparse: int, num_tags: int) -> "FeatureLayers":
        """The trainable side, for that many values in each column and that many sparse features."""
        return FeatureLayers(column_sizes, self.dims(), num_sparse, num_tags)

    def fingerprint(self) -> dict[str, Any]:
        """The class, its code and its settings: changes when the features would."""
        code = inspect.getsource(inspect.getmodule(type(self)))  # type: ignore[arg-type]
        digest = hashlib.sha256(code.encode()).hexdigest()
        settings = {name: re.sub(r" at 0x\w+", "", repr(value)) for name, value in sorted(vars(self).items())}
        return {"class": type(self).__qualname__, "code": digest, "settings": settings}


class FeatureLayers(nn.Module):
    """Embedding tables for the dense columns, tag scores for the sparse features."""

    def __init__(
        self, column_sizes: Mapping[str, int], dims: Mapping[str, int], num_sparse: int, num_tags: int
    ) -> None:
        super().__init__()
        self.tables = nn.ModuleList(
            nn.Embedding(size, dims[column], padding_idx=0) for column, size in column_sizes.items()
        )
        self.scores = nn.EmbeddingBag(num_sparse, num_tags, mode="sum") if num_sparse else None
        if self.scores is not None:
            nn.init.zeros_(self.scores.weight)
        self.output_dim = sum(dims[column] for column in column_sizes)

    def forward(self, batch: Batch) -> Tensor:
        """-> dense vectors (batch, time, output_dim)."""
        vectors = [table(batch.categories[:, :, column]) for column, table in enumerate(self.tables)]
        if not vectors:
            return torch.zeros((*batch.words.shape, 0), device=batch.words.device)
        return torch.cat(vectors, dim=-1)

    def direct(self, batch: Batch) -> Tensor | None:
        """-> scores of sparse features (batch, time, tags), or None for a set without them."""
        if self.scores is None:
            return None
        batch_size, time = batch.words.shape
        return self.scores(batch.sparse, batch.sparse_offsets).view(batch_size, time, -1)
