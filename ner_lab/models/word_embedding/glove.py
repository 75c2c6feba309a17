"""GloVe vectors (Pennington, Socher & Manning 2014), as text, .gz, or inside the published zip."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ner_lab.data.vectors.store import read_stored
from ner_lab.errors import UserError
from ner_lab.io.download import Download, Progress, fetch
from ner_lab.models.word_embedding.base import PretrainedEmbedding


class Glove(PretrainedEmbedding):
    """GloVe 6B from its public address, or any file in GloVe's format.

    dim: dimensions; selects `glove.6B.{dim}d.txt` in the zip and is checked against the file.
    url, checksum: the published zip. Further arguments as in `PretrainedEmbedding`.
    """

    def __init__(
        self,
        *,
        path: str | None,
        dim: int,
        url: str,
        checksum: str,
        trainable: bool,
        lookup: Sequence[str],
        min_coverage: float,
    ) -> None:
        super().__init__(path=path, trainable=trainable, lookup=lookup, min_coverage=min_coverage)
        self.dim = dim
        self.download = Download(url, checksum)

    def file(self, cache: Path, progress: Progress | None) -> Path:
        """The given file, or the published zip, downloaded once (862 MB)."""
        if self.path is not None:
            return super().file(cache, progress)
        hint = "If you have a copy, set word_embedding.path=FILE (text, .gz or .zip)."
        return fetch(self.download, cache / "vectors", hint, progress)

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`."""
        words, matrix = read_stored(path, wanted, cache, member=f"glove.6B.{self.dim}d.txt")
        if matrix.shape[1] != self.dim:
            raise UserError(
                f"{path}: the vectors have {matrix.shape[1]} dimensions, but word_embedding.dim is {self.dim}. "
                f"Set word_embedding.dim={matrix.shape[1]} or use another file."
            )
        return words, matrix

    def fingerprint(self) -> dict[str, Any]:
        """As in `WordEmbedding.fingerprint`."""
        return super().fingerprint() | {"dim": self.dim}
