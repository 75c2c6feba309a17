"""word2vec vectors (Mikolov et al. 2013), text or binary."""

from pathlib import Path

import numpy as np

from ner_lab.data.vectors.store import read_stored
from ner_lab.models.word_embedding.base import PretrainedEmbedding


class Word2Vec(PretrainedEmbedding):
    """A file in word2vec's text or binary format, compressed or not. Arguments as in `PretrainedEmbedding`."""

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        return read_stored(path, wanted, cache, any_format=True)
