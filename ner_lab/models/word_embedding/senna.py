"""SENNA's vectors (Collobert et al. 2011): a word list and a file of vectors, line by line."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ner_lab.data.senna import senna_folder
from ner_lab.errors import UserError
from ner_lab.io.download import Download, Progress
from ner_lab.io.file_diagnosis import nature_of
from ner_lab.models.word_embedding.base import PretrainedEmbedding

_VECTORS, _WORDS = "embeddings/embeddings.txt", "hash/words.lst"
_REMEDY = "fetch it again, or give the right files as word_embedding.path and word_embedding.words."


class Senna(PretrainedEmbedding):
    """50 dimensions for 130,000 lower-cased words, digits as 0.

    path: `embeddings.txt`; words: `words.lst`, None for `../hash/words.lst` or `words.lst` beside it.
    Without a path the published archive is downloaded (no checksum was published for it: the actual one is logged).
    Further arguments as in `PretrainedEmbedding`.
    """

    def __init__(
        self,
        *,
        path: str | None,
        words: str | None,
        url: str,
        trainable: bool,
        lookup: Sequence[str],
        min_coverage: float,
    ) -> None:
        super().__init__(path=path, trainable=trainable, lookup=lookup, min_coverage=min_coverage)
        self.words = words
        self.download = Download(url)

    def file(self, cache: Path, progress: Progress | None) -> Path:
        """The given file of vectors, or that of the published archive."""
        if self.path is not None:
            return super().file(cache, progress)
        hint = "With a copy at hand, give word_embedding.path=.../embeddings.txt word_embedding.words=.../words.lst"
        return senna_folder(self.download, (_WORDS, _VECTORS), cache, hint, progress) / _VECTORS

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`; the files are small, and read again each time."""
        word_list = self._word_list(path)
        words, lines = _lines_of(word_list), _lines_of(path)
        if len(words) != len(lines):
            raise UserError(
                f"{word_list}: {len(words):,} words, but {path} has {len(lines):,} vectors. They belong together; "
                f"{_REMEDY}"
            )
        chosen = [row for row, word in enumerate(words) if wanted is None or word in wanted]
        dim = len(lines[0].split())
        if not dim:
            raise UserError(f"{path}:1: no vector in it; {_REMEDY}")
        matrix = np.zeros((len(chosen), dim), dtype=np.float32)
        for number, row in enumerate(chosen):
            numbers = lines[row].split()
            if len(numbers) != dim:
                raise UserError(f"{path}:{row + 1}: {len(numbers)} numbers, line 1 has {dim}; {_REMEDY}")
            try:
                matrix[number] = numbers
            except ValueError as error:
                raise UserError(f"{path}:{row + 1}: {str(error)[:200]}. Expected {dim} numbers; {_REMEDY}") from None
        if not np.isfinite(matrix).all():
            row = chosen[int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])]
            raise UserError(f"{path}:{row + 1}: a number is not finite. {_REMEDY.capitalize()}")
        return [words[row] for row in chosen], matrix

    def fingerprint(self) -> dict[str, Any]:
        """As in `WordEmbedding.fingerprint`, with the word list."""
        stamp = None  # the published archive holds one list
        if self.path or self.words:
            word_list = self._word_list(Path(self.path or "").expanduser())
            stamp = hashlib.sha256(word_list.read_bytes()).hexdigest()
        return super().fingerprint() | {"words": stamp}

    def _word_list(self, vectors: Path) -> Path:
        places = [vectors.parent.parent / _WORDS, vectors.parent / "words.lst"]
        if self.words is not None:
            places = [Path(self.words).expanduser()]
        for place in places:
            if place.is_file():
                return place
        raise UserError(
            f"no word list for {vectors}; looked for {' and '.join(map(str, places))}. "
            "Give word_embedding.words=.../words.lst"
        )


def _lines_of(path: Path) -> list[str]:
    content = path.read_bytes()
    if nature := nature_of(content[:4096], path.name):
        raise UserError(f"{path}:1: {nature}")
    return content.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
