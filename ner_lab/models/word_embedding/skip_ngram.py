"""Structured skip-n-gram vectors (Ling et al. 2015), as in Lample et al. 2016, section 4.2."""

from pathlib import Path

import numpy as np

from ner_lab.data.vectors.store import read_stored
from ner_lab.models.word_embedding.base import PretrainedEmbedding


class SkipNGram(PretrainedEmbedding):
    """The authors' `sskip` files: word2vec's text format. Arguments as in `PretrainedEmbedding`."""

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        return read_stored(path, wanted, cache)
