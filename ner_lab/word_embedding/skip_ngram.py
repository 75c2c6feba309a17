"""Structured skip-n-gram vectors (Ling et al. 2015), those of Lample et al. 2016, section 4.2."""

from pathlib import Path

import numpy as np

from ner_lab.word_embedding.base import PretrainedEmbedding
from ner_lab.word_embedding.formats import read_text


class SkipNGram(PretrainedEmbedding):
    """The authors' `sskip` files: word2vec's text format. Arguments as in `PretrainedEmbedding`."""

    def rows(self, path: Path, wanted: set[str] | None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        return read_text(path, wanted)
