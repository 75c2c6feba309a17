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
_HINT = "Download it again, or set word_embedding.path and word_embedding.words to the right files."


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
        hint = "If you have a copy, set word_embedding.path=.../embeddings.txt word_embedding.words=.../words.lst"
        return senna_folder(self.download, (_WORDS, _VECTORS), cache, hint, progress) / _VECTORS

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """As in `WordEmbedding.rows`; the files are small, and read again each time."""
        word_list = self._word_list(path)
        words, lines = _lines_of(word_list), _lines_of(path)
        if len(words) != len(lines):
            raise UserError(
                f"{word_list} has {len(words):,} words, but {path} has {len(lines):,} vectors; they must match. {_HINT}"
            )
        rows = [row for row, word in enumerate(words) if wanted is None or word in wanted]
        dim = len(lines[0].split())
        if not dim:
            raise UserError(f"{path}:1: the file has no vectors. {_HINT}")
        matrix = np.zeros((len(rows), dim), dtype=np.float32)
        for number, row in enumerate(rows):
            numbers = lines[row].split()
            if len(numbers) != dim:
                raise UserError(f"{path}:{row + 1}: {len(numbers)} numbers, but line 1 has {dim}. {_HINT}")
            try:
                matrix[number] = numbers
            except ValueError as error:
                raise UserError(f"{path}:{row + 1}: {str(error)[:200]}. Expected {dim} numbers. {_HINT}") from None
        if not np.isfinite(matrix).all():
            row = rows[int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])]
            raise UserError(f"{path}:{row + 1}: a number is not finite. {_HINT}")
        return [words[row] for row in rows], matrix

    def fingerprint(self) -> dict[str, Any]:
        """As in `WordEmbedding.fingerprint`, with the word list."""
        checksum = None  # the published archive holds one list
        if self.path or self.words:
            word_list = self._word_list(Path(self.path or "").expanduser())
            checksum = hashlib.sha256(word_list.read_bytes()).hexdigest()
        return super().fingerprint() | {"words": checksum}

    def _word_list(self, vectors: Path) -> Path:
        paths = [vectors.parent.parent / _WORDS, vectors.parent / "words.lst"]
        if self.words is not None:
            paths = [Path(self.words).expanduser()]
        for path in paths:
            if path.is_file():
                return path
        raise UserError(
            f"{vectors} has no word list: there is no {' and no '.join(map(str, paths))}. "
            "Set word_embedding.words=.../words.lst"
        )


def _lines_of(path: Path) -> list[str]:
    content = path.read_bytes()
    if nature := nature_of(content[:4096], path.name):
        raise UserError(f"{path}:1: {nature}")
    return content.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
