"""Word vectors from a file."""

from pathlib import Path

import numpy as np

from ner_lab.data.vectors.store import read_stored
from ner_lab.models.word_embedding.base import PretrainedEmbedding


class VectorFile(PretrainedEmbedding):
    """Text with or without a header, or word2vec's binary; plain, .gz or .zip; the format is recognised.

    Arguments as in `PretrainedEmbedding`.
    """

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        return read_stored(path, wanted, cache, any_format=True)


class Word2Vec(PretrainedEmbedding):
    """word2vec vectors (Mikolov et al. 2013), text or binary, compressed or not.

    Arguments as in `PretrainedEmbedding`.
    """

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        return read_stored(path, wanted, cache, any_format=True)


class SkipNGram(PretrainedEmbedding):
    """Structured skip-n-gram vectors (Ling et al. 2015; Lample et al. 2016, section 4.2): the authors' `sskip` files.

    Their format is word2vec's text format. Arguments as in `PretrainedEmbedding`.
    """

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        return read_stored(path, wanted, cache)
