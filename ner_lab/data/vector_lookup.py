"""Match the words of a corpus to the words of a vector file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ner_lab.data.vocab import LOOKUP_STEPS, WordVocab
from ner_lab.errors import UserError

MISSING = "missing"
WORD_CLASSES = ("IV", "OOTV", "OOEV", "OOBV")
"""Words in train and the vector file; only in the file; only in train; in neither: Ma & Hovy 2016, tables 8, 9."""


@dataclass(frozen=True, slots=True)
class VectorRows:
    """Rows of a vector file, by word."""

    rows: Mapping[str, int]
    matrix: np.ndarray
    """(words, dim) float32"""
    lookup: tuple[str, ...]

    def match(self, word: str) -> tuple[str, str] | None:
        """The first look-up step that finds `word`, and the form it is found under."""
        for step in self.lookup:
            form = LOOKUP_STEPS[step](word)
            if form in self.rows:
                return step, form
        return None


def wanted_forms(words: Iterable[str], lookup: tuple[str, ...]) -> set[str]:
    """Every form under which any of `words` would be looked up."""
    return {LOOKUP_STEPS[step](word) for word in words for step in lookup}


def with_vectors(vocab: WordVocab, words: Iterable[str], file: VectorRows, which: str) -> tuple[WordVocab, np.ndarray]:
    """Add to `vocab` the words that only the file has; return the vectors of all its words.

    `which`: `train` adds none, `corpus` those under which a word of `words` is found, `file` all.
    Returns the vocabulary and (words, dim) float32, NaN where the file has no vector.
    """
    known: dict[str, None] = {}
    if which == "file":
        known = dict.fromkeys(file.rows)
    elif which == "corpus":
        matches = (file.match(word) for word in words if word not in vocab.ids)
        known = dict.fromkeys(match[1] for match in matches if match)
    extended = WordVocab(vocab.items, list(known), vocab.lowercase, file.lookup)
    vectors = np.full((len(vocab.items) + len(known), file.matrix.shape[1]), np.nan, dtype=np.float32)
    for number, word in enumerate(vocab.items):
        if number > 1 and (match := file.match(word)):
            vectors[number] = file.matrix[file.rows[match[1]]]
    if known:
        vectors[len(vocab.items) :] = file.matrix[[file.rows[form] for form in known]]
    return extended, vectors


def coverage(counts: Mapping[str, int], file: VectorRows) -> dict[str, dict[str, int]]:
    """The number of `tokens` and `types` that each look-up step finds, and of those `missing`."""
    tokens = dict.fromkeys([*file.lookup, MISSING], 0)
    types = dict(tokens)
    for word, number in counts.items():
        match = file.match(word)
        step = match[0] if match else MISSING
        tokens[step] += number
        types[step] += 1
    return {"tokens": tokens, "types": types}


def word_class(*, in_train: bool, in_file: bool) -> str:
    """One of `WORD_CLASSES`."""
    return WORD_CLASSES[(not in_train) + 2 * (not in_file)]


def check_coverage(found: dict[str, dict[str, int]], least: float, path: str) -> None:
    """Raise UserError if the file covers less than the given share of the corpus's words."""
    types = found["types"]
    total = sum(types.values())
    known = total - types[MISSING]
    if known < least * total:
        raise UserError(
            f"{path}: only {known:,} of {total:,} words of the corpus were found ({known / total:.1%}); "
            f"word_embedding.min_coverage requires {least:.0%}. Is it the wrong file or language, or are lines read as "
            "single tokens?"
        )
