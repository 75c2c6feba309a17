"""Locate the lists of a lexicon: in given files, in a folder, in SENNA's published archive, or in a checkpoint."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ner_lab.data.senna import senna_folder, spellings_of
from ner_lab.errors import UserError
from ner_lab.io.cache import cache_dir, content_hash
from ner_lab.io.download import Download
from ner_lab.io.file_diagnosis import why_no_file
from ner_lab.models.features.lexicon.entries import LONGEST_NAME, flag_file, read_entries

Hashes = dict[str, list[str]]
"""For each category, checksums of the files its entries are read from."""
StoredEntries = dict[str, str]
"""For each category its entries, one per line: what a checkpoint stores of a lexicon."""


@dataclass(frozen=True, kw_only=True)
class LexiconFiles:
    """The lists of each category, and how they are read. Nothing is opened before it is needed.

    key: the prefix of its keys in messages, such as `lexicons.senna.`
    entries: files of each category, within `dir` if it is set.
    dir: a folder with the files, or SENNA's own, which has them in `hash`; None for files given by their paths, or
    those of the archive at `url`.
    url: SENNA's published archive, downloaded if there is no `dir`; None for a lexicon without one.
    raw, whole_only: as in `read_entries`.
    cache_dir: the folder for downloads; None for the default.
    stored: entries from a checkpoint, one per line, which are used instead of the files.
    """

    key: str
    entries: Mapping[str, tuple[str, ...]]
    dir: str | None
    url: str | None
    raw: bool
    whole_only: bool
    cache_dir: str | None
    stored: Mapping[str, str] = field(default_factory=dict)

    def hashes(self) -> Hashes:
        """The identity of these files: SHA-256 of all that is read."""
        return {category: self.hashes_of(category) for category in self.entries}

    def hashes_of(self, category: str) -> list[str]:
        """The checksums of one category's files."""
        cache = cache_dir(self.cache_dir)
        return [_sum(file, cache) for path in self._paths(category) for file in self._read_with(path)]

    def identity_of(self, category: str) -> list[str]:
        """The identity of a category's entries: a checksum of the stored ones, or the checksums of its files."""
        if category in self.stored:
            return ["kept", hashlib.sha256(self.stored[category].encode("utf-8", "surrogatepass")).hexdigest()]
        return self.hashes_of(category)

    def to_store(self) -> StoredEntries:
        """The entries of each category, read from the files; plain data for a checkpoint."""
        return {category: "\n".join(self.read(category)) for category in self.entries}

    def with_stored(self, name: str, learnt: Any) -> "LexiconFiles":
        """These lists with the entries returned by `to_store`; `name`: of the lexicon, for messages.

        Older checkpoints hold checksums of the files instead: then the files are read, and must be the same.
        """
        if not isinstance(learnt, dict) or not set(self.entries) <= learnt.keys():
            raise UserError(f"features: the checkpoint does not have the entries of {name}. Train again.")
        stored = {category: learnt[category] for category in self.entries}
        if all(isinstance(sums, list) for sums in stored.values()):
            check_same({name: stored}, {name: self.hashes()})
            return self
        for category, entries in stored.items():
            if not isinstance(entries, str) or not entries or max(map(len, entries.split("\n"))) > LONGEST_NAME:
                raise UserError(
                    f"features: the checkpoint's entries of {name}.{category} are not names of at most "
                    f"{LONGEST_NAME:,} characters, one per line. Train again."
                )
        return replace(self, stored=stored)

    def read(self, category: str) -> list[str]:
        """The entries of a category."""
        if category in self.stored:
            return self.stored[category].split("\n")
        paths = self._paths(category)
        entries = [entry for path in paths for entry in read_entries(path, raw=self.raw, whole_only=self.whole_only)]
        if not entries:
            raise UserError(
                f"features: {self.key}entries.{category}: {', '.join(map(str, paths))} has no entries. "
                "Expected one name per line."
            )
        return entries

    def _paths(self, category: str) -> list[Path]:
        """The files of a category, downloaded if need be."""
        return [self._find(category, name) for name in self.entries[category]]

    def _read_with(self, path: Path) -> list[Path]:
        flags = flag_file(path)
        return [path, flags] if self.whole_only and flags.is_file() else [path]

    def _find(self, category: str, name: str) -> Path:
        folder = self._folder()
        inner = ("", "hash") if self.dir or self.url else ("",)
        paths = [folder / part / Path(spelling).expanduser() for spelling in spellings_of(name) for part in inner]
        for path in paths:
            if path.is_file():
                return path
        hint = f"Set {self.key}dir to the folder of the file" if self.dir else "Correct the path"
        if self.url:
            hint += f", or set {self.key}dir=null to download SENNA's lists"
        raise UserError(f"features: {self.key}entries.{category} is {paths[0]}: {why_no_file(paths[0])} {hint}.")

    def _folder(self) -> Path:
        if self.dir is not None:
            folder = Path(self.dir).expanduser()
            if not folder.is_dir():
                raise UserError(
                    f"features: {self.key}dir={self.dir}: there is no such folder. Set it to the folder of the lists."
                )
            return folder
        names = [name for listed in self.entries.values() for name in listed if not _is_absolute(name)]
        if self.url is None or not names:
            return Path()
        wanted = [f"hash/{name}" for name in names]
        if self.whole_only:
            wanted += [f"data/{Path(name).with_suffix('.dat')}" for name in names]
        hint = f"If you have SENNA, set features: {self.key}dir=FOLDER, the folder of its ner.*.lst files."
        return senna_folder(Download(self.url), wanted, cache_dir(self.cache_dir), hint)


def _is_absolute(name: str) -> bool:
    return Path(name).expanduser().is_absolute()


def files_of(
    key: str,
    entries: Mapping[str, str | Iterable[str]],
    *,
    dir: str | None,
    url: str | None,
    raw: bool,
    whole_only: bool,
    cache_dir: str | None,
) -> LexiconFiles:
    """Make LexiconFiles from config values; a category may name one file or a list of them."""
    if not isinstance(entries, Mapping) or not entries:
        raise UserError(
            f"features: {key}entries must be categories and their files, such as {{PER: [people.txt]}}; got {entries}."
        )
    listed: dict[str, tuple[str, ...]] = {}
    for category, names in entries.items():
        paths = (names,) if isinstance(names, str) else tuple(names or ())
        if not paths or not all(isinstance(name, str) for name in paths):
            raise UserError(f"features: {key}entries.{category} must be a file or a list of files; got {names}.")
        listed[str(category)] = paths
    return LexiconFiles(key=key, entries=listed, dir=dir, url=url, raw=raw, whole_only=whole_only, cache_dir=cache_dir)


def check_same(trained: Mapping[str, Hashes], current: Mapping[str, Hashes]) -> None:
    """Raise UserError if the current files differ from those used in training; both by lexicon."""
    for lexicon, hashes in current.items():
        for category, sums in hashes.items():
            if trained[lexicon][category] != sums:
                raise UserError(
                    f"features: the entries of {lexicon}.{category} differ from those of the training, so the tagger "
                    "would read other features. Restore the files of the training, or train again."
                )


def _sum(path: Path, cache: Path) -> str:
    try:
        return content_hash(path, cache)
    except OSError:  # the cache cannot be written
        return hashlib.sha256(path.read_bytes()).hexdigest()
