"""Gazetteer features: Collobert et al. 2011, and Huang et al. 2015, table 2 in parentheses."""

from collections.abc import Mapping, Sequence
from typing import Any

from ner_lab.data.sentence import Sentence
from ner_lab.models.features.base import FeatureSet, code_sum
from ner_lab.models.features.lexicon import entries as lexicon_entries
from ner_lab.models.features.lexicon import files as lexicon_files
from ner_lab.models.features.lexicon import matching as lexicon_matching
from ner_lab.models.features.lexicon.files import StoredEntries, files_of
from ner_lab.models.features.lexicon.matching import Fragments, covered, find_matches
from ner_lab.models.features.lexicons import load_fragments
from ner_lab.models.layers.checks import check_int_range


class Gazetteer(FeatureSet):
    """For each category, whether a word is part of any phrase that is a complete name in its list.

    Phrases may overlap: each one marks all its words. Case is ignored.

    entries: for each category its files, one name per line.
    dir, url: the folder of these files, or an archive, as in `LexiconFiles`.
    raw, whole_only: how they are read, as in `read_entries`.
    dim: 0 for on/off features that bypass the encoder; else columns `on` and `off` with vectors of this size, like
    Collobert's look-up tables.
    cache_dir: the folder for downloads; None for the default.
    """

    def __init__(
        self,
        *,
        entries: Mapping[str, str | Sequence[str]],
        dir: str | None,
        url: str | None,
        raw: bool,
        whole_only: bool,
        dim: int,
        cache_dir: str | None,
    ) -> None:
        check_int_range(0, "features", dim=dim)
        self.files = files_of("", entries, dir=dir, url=url, raw=raw, whole_only=whole_only, cache_dir=cache_dir)
        self.dim = dim
        self.columns = tuple(f"gazetteer.{category}" for category in self.files.entries) if dim else ()
        self._fragments: dict[str, Fragments] = {}

    def learn(self, train: Sequence[Sentence]) -> dict[str, StoredEntries]:
        """The entries of each category, for `remember`: once trained, a run no longer needs the files."""
        return {"gazetteer": self.files.to_store()}

    def remember(self, learnt: dict[str, StoredEntries]) -> None:
        """Use these entries instead of the files; UserError if they are not entries of these categories."""
        self.files = self.files.with_stored("gazetteer", learnt.get("gazetteer"))
        self._fragments.clear()

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """For each category `on` or `off` per word, if `dim` is above 0."""
        if not self.dim:
            return []
        return [["on" if inside else "off" for inside in switches] for switches in self._switches(sentence)]

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word `gazetteer=PER` and so on, if `dim` is 0."""
        if self.dim:
            return []
        names = [f"gazetteer={category}" for category in self.files.entries]
        return [
            [name for name, on in zip(names, of_word, strict=True) if on]
            for of_word in zip(*self._switches(sentence), strict=True)
        ]

    def dims(self) -> dict[str, int | None]:
        """Size of each column's vectors."""
        return dict.fromkeys(self.columns, self.dim)

    def fingerprint(self) -> dict[str, Any]:
        """The code, the settings and the content of the files, regardless of their paths."""
        read = [self.files.raw, self.files.whole_only, self.dim > 0]
        code = code_sum(type(self), lexicon_entries, lexicon_files, lexicon_matching)
        return {"class": "Gazetteer", "code": code, "files": self.files.hashes(), "read": read}

    def _switches(self, sentence: Sentence) -> list[list[bool]]:
        words = sentence.words
        return [covered(find_matches(words, self._of(category)), len(words)) for category in self.files.entries]

    def _of(self, category: str) -> Fragments:
        if category not in self._fragments:
            self._fragments[category] = load_fragments(self.files, category, "exact", False)
        return self._fragments[category]
