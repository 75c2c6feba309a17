"""Lexicon features of Chiu & Nichols 2016, section 2.4.2."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError, check_choice, invalid_value
from ner_lab.models.features.base import FeatureSet, code_sum
from ner_lab.models.features.lexicon import entries as lexicon_entries
from ner_lab.models.features.lexicon import files as lexicon_files
from ner_lab.models.features.lexicon import matching as lexicon_matching
from ner_lab.models.features.lexicon.files import LexiconFiles, StoredEntries, files_of
from ner_lab.models.features.lexicon.matching import (
    CODINGS,
    MATCHINGS,
    Fragments,
    covered,
    find_matches,
    fragments_of,
    position_codes,
    without_overlaps,
)
from ner_lab.models.layers.checks import check_int_range

_DEFAULTS = {"dir": None, "url": None, "raw": True, "whole_only": False, "matching": "partial", "coding": "BIOES"}


class Lexicons(FeatureSet):
    """A column for each lexicon and category: the position of each word in the entry it matches.

    lexicons: for each lexicon by name
        entries: for each category its files, one entry per line
        dir, url: the folder of these files, or an archive, as in `LexiconFiles`
        raw, whole_only: how they are read, as in `read_entries`
        matching: `exact`, `partial`, or `collobert` for the method of Collobert et al. 2011: complete entries and any
            prefix alike
        coding: `BIOES`, or `YN` for whether a word matches at all. `collobert` allows only `YN`, and every match
            counts, also where they overlap
    dim: size of the vectors of each column.
    single_token_partial: categories in which one word may match a part of an entry.
    cache_dir: the folder for downloads; None for the default.
    """

    def __init__(
        self,
        *,
        lexicons: Mapping[str, Mapping[str, Any]],
        dim: int,
        single_token_partial: Sequence[str],
        cache_dir: str | None,
    ) -> None:
        check_int_range(1, "features", dim=dim)
        if isinstance(single_token_partial, str):
            raise invalid_value("features: single_token_partial", single_token_partial, "a list, such as [PER]")
        self.dim = dim
        self.lexicons = {
            name: Lexicon(name, options, single_token_partial, cache_dir) for name, options in lexicons.items()
        }
        self.columns = tuple(
            f"{name}.{category}" for name, lexicon in self.lexicons.items() for category in lexicon.files.entries
        )

    def learn(self, train: Sequence[Sentence]) -> dict[str, StoredEntries]:
        """The entries of each lexicon, for `remember`: once trained, a run no longer needs the files."""
        return {name: lexicon.files.to_store() for name, lexicon in self.lexicons.items()}

    def remember(self, learnt: dict[str, StoredEntries]) -> None:
        """Use these entries instead of the files; UserError if they are not entries of these lexicons."""
        for name, lexicon in self.lexicons.items():
            lexicon.remember(name, learnt.get(name))

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """For each lexicon and category, a code for each word."""
        return [
            lexicon.codes(category, sentence.words)
            for lexicon in self.lexicons.values()
            for category in lexicon.files.entries
        ]

    def dims(self) -> dict[str, int | None]:
        """Size of each column's vectors."""
        return dict.fromkeys(self.columns, self.dim)

    def fingerprint(self) -> dict[str, Any]:
        """The code, the settings of each lexicon and the content of its files, regardless of their paths."""
        lexicons = {name: lexicon.fingerprint() for name, lexicon in self.lexicons.items()}
        return {
            "class": "Lexicons",
            "code": code_sum(type(self), lexicon_entries, lexicon_files, lexicon_matching),
            "lexicons": lexicons,
        }


class Lexicon:
    """One lexicon with its method; files are read with the first sentence, unless entries are remembered."""

    def __init__(
        self, name: str, options: Mapping[str, Any], single_token_partial: Sequence[str], cache_dir: str | None
    ) -> None:
        key = f"lexicons.{name}"
        keys = ", ".join(["entries", *_DEFAULTS])
        if not isinstance(options, Mapping):
            raise invalid_value(f"features: {key}", options, f"a mapping with the keys {keys}")
        if unknown := [option for option in options if option not in {"entries", *_DEFAULTS}]:
            raise UserError(f"features: {key} has no key '{unknown[0]}'. Its keys are {keys}.")
        values = _DEFAULTS | dict(options)
        self.matching, self.coding = values.pop("matching"), values.pop("coding")
        check_choice(f"features: {key}.matching", self.matching, MATCHINGS)
        check_choice(f"features: {key}.coding", self.coding, CODINGS)
        if self.matching == "collobert" and self.coding != "YN":
            raise UserError(f"features: {key}.matching=collobert gives no positions in entries. Set {key}.coding=YN.")
        self.files = files_of(f"{key}.", values.pop("entries", {}), cache_dir=cache_dir, **values)
        self.single_token_partial = frozenset(single_token_partial)
        self._fragments: dict[str, Fragments] = {}

    def remember(self, name: str, learnt: Any) -> None:
        """Use the entries of a checkpoint; `name`: of the lexicon."""
        self.files = self.files.with_stored(name, learnt)
        self._fragments.clear()

    def codes(self, category: str, words: Sequence[str]) -> list[str]:
        """A code for each word."""
        matches = find_matches(words, self._fragments_of(category))
        if self.matching != "collobert":
            matches = without_overlaps(matches)
        if self.coding == "YN":
            return ["Y" if inside else "N" for inside in covered(matches, len(words))]
        return position_codes(matches, len(words))

    def fingerprint(self) -> dict[str, Any]:
        """Everything its codes depend on."""
        return {
            "files": self.files.hashes(),
            "read": [self.files.raw, self.files.whole_only],
            "method": [self.matching, self.coding, sorted(self.single_token_partial)],
        }

    def _fragments_of(self, category: str) -> Fragments:
        if category not in self._fragments:
            single = category in self.single_token_partial
            self._fragments[category] = load_fragments(self.files, category, self.matching, single)
        return self._fragments[category]


_loaded: WeakValueDictionary[tuple[Any, ...], Fragments] = WeakValueDictionary()


def load_fragments(files: LexiconFiles, category: str, matching: str, single_token_partial: bool) -> Fragments:
    """Read the files of a category; feature sets of one process share the result while one of them uses it."""
    key = (*files.identity_of(category), files.raw, files.whole_only, matching, single_token_partial)
    fragments = _loaded.get(key)
    if fragments is None:
        fragments = fragments_of(files.read(category), matching=matching, single_token_partial=single_token_partial)
        _loaded[key] = fragments
    return fragments
