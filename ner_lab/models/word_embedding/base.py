"""The base of word embeddings: the source of the vectors, and the layer that looks them up."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.data.vocab import check_lookup
from ner_lab.errors import UserError
from ner_lab.io.download import Progress
from ner_lab.io.file_diagnosis import why_no_file
from ner_lab.models.layers.init import embedding_uniform
from ner_lab.models.layers.sparse_gradients import use_sparse_gradients


class WordEmbedding(ABC):
    """Settings of a word embedding; `layer` makes the trainable part once the vocabulary is known."""

    lookup: tuple[str, ...] = ()
    min_coverage: float = 0.0
    from_scratch: bool = False
    """Whether vectors are learnt from train alone"""

    def file(self, cache: Path, progress: Progress | None) -> Path | None:
        """The file of vectors, downloaded if need be; None for an embedding without one."""
        return None

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """Words of the file (those in `wanted`, or all) and their vectors (words, dim) float32.

        cache: the folder that stores vectors after the first read; None reads the file itself.
        """
        raise AssertionError(f"{type(self).__name__} has no file")

    def fingerprint(self) -> dict[str, Any]:
        """Plain data that changes whenever the rows of the same file would."""
        return {"class": type(self).__qualname__, "lookup": list(self.lookup)}

    @abstractmethod
    def layer(self, *, num_words: int, num_known: int, vector_dim: int) -> nn.Module:
        """The layer: `num_words` trained rows, `num_known` rows fixed as in the file."""


class PretrainedEmbedding(WordEmbedding):
    """Vectors from a file.

    path: the file; None downloads it if it has a public address.
    trainable: whether training updates the vectors of train's words.
    lookup: forms under which a word is looked up, in turn (`ner_lab.data.vocab.LOOKUP_STEPS`).
    min_coverage: minimum share of the corpus's words (types) that must be found.
    """

    def __init__(self, *, path: str | None, trainable: bool, lookup: Sequence[str], min_coverage: float) -> None:
        self.path = path
        self.trainable = trainable
        self.lookup = check_lookup(lookup)
        self.min_coverage = min_coverage

    def file(self, cache: Path, progress: Progress | None) -> Path:
        if self.path is None:
            raise UserError(
                f"{type(self).__name__} vectors have no public address to download from. Set word_embedding.path=FILE."
            )
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise UserError(f"word_embedding.path={self.path}: {why_no_file(path)} Set it to a file of vectors.")
        return path

    def layer(self, *, num_words: int, num_known: int, vector_dim: int) -> nn.Module:
        return WordTable(num_words, num_known, vector_dim, trainable=self.trainable)


class WordTable(nn.Module):
    """Vectors by number: a trained table, followed by rows fixed as in the file.

    Every row starts uniform in +-sqrt(3 / dim) (Ma & Hovy 2016, section 3.1), padding at zero; `fill` then copies the
    vectors of the file.
    """

    def __init__(self, num_words: int, num_known: int, dim: int, *, trainable: bool = True) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(num_words, dim), requires_grad=trainable)
        embedding_uniform(self.table)
        with torch.no_grad():
            self.table[0].zero_()
        self.register_buffer("known", torch.zeros(num_known, dim))
        self.output_dim = dim

    @torch.no_grad()
    def fill(self, vectors: np.ndarray) -> None:
        """vectors (num_words + num_known, dim), NaN if not in the file: those stay random."""
        rows = torch.from_numpy(vectors)
        trained, known = rows[: len(self.table)], rows[len(self.table) :]
        self.table.copy_(torch.where(trained.isnan(), self.table, trained))
        self.known: Tensor
        self.known.copy_(known)

    def embedding_rows(self, words: Tensor) -> tuple[nn.Parameter, Tensor]:
        """words (batch, time) -> the trained table, and the rows of it that `forward` reads (batch, time)."""
        return self.table, words.clamp(max=len(self.table) - 1)

    def forward(self, words: Tensor) -> Tensor:
        """words (batch, time) -> (batch, time, dim)."""
        num_words = len(self.table)
        trained = F.embedding(
            words.clamp(max=num_words - 1), self.table, padding_idx=0, sparse=use_sparse_gradients(self.table)
        )
        if not len(self.known):
            return trained
        known = F.embedding((words - num_words).clamp(min=0), self.known)
        return torch.where((words >= num_words)[:, :, None], known, trained)
