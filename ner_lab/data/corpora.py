"""Find, download and read the splits of a corpus, and compare them with the published counts."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ner_lab.data.options import DataOptions
from ner_lab.data.readers.conll import read_split
from ner_lab.data.readers.markup import read_markup
from ner_lab.data.sentence import SPLITS, Counts, Sentence, Split
from ner_lab.data.tags import OUTSIDE, with_types
from ner_lab.errors import UserError
from ner_lab.io.cache import cache_dir
from ner_lab.io.download import Download, Progress, extract_gzip, extract_zip, fetch
from ner_lab.io.file_diagnosis import why_no_file

_BUILTIN = Path(__file__).parent / "builtin"
_FEW_DOCUMENTS = 20


def locate(options: DataOptions, progress: Progress | None = None, *, needs_train: bool = True) -> dict[str, Path]:
    """The file of each split, downloaded if need be. A corpus without dev or test lacks that key."""
    places: dict[str, Path] = {}
    for split in SPLITS:
        path = _stated(options, split) or _in_folder(options, split) or _fetched(options, split, progress)
        if path is not None:
            places[split] = path
    if needs_train and "train" not in places:
        raise UserError(
            f"data={options.name} needs data.train=FILE (and data.dev=FILE data.test=FILE), paths of column files."
        )
    return places


def read_corpus(options: DataOptions, places: dict[str, Path]) -> dict[str, Split]:
    """Read all splits; if the corpus has no dev split, a seeded share of train is used as dev."""
    splits = {name: read_one(options, name, path) for name, path in places.items()}
    if options.verify:
        _hold_against_published(options, splits)
    if options.map_types and splits:
        _rename_types(splits, options.map_types)
    if "dev" not in splits and "train" in splits:
        splits["train"], splits["dev"] = _share(splits["train"], options.dev_share, options.dev_seed)
    return {name: splits[name] for name in SPLITS if name in splits}


def read_one(options: DataOptions, name: str, path: Path) -> Split:
    """Read one split from one file."""
    if options.format == "markup":
        return read_markup(name, path)
    return read_split(name, path, options.column_format, options.file_scheme)


def _stated(options: DataOptions, split: str) -> Path | None:
    given = getattr(options, split)
    if given is None:
        return None
    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(f"data.{split}={given}: {why_no_file(path)} Give the path of a column file.")
    return path


def _in_folder(options: DataOptions, split: str) -> Path | None:
    if options.dir is None and options.format != "markup":
        return None
    folder = Path(options.dir).expanduser() if options.dir else _BUILTIN
    if not folder.is_dir():
        raise UserError(f"data.dir={options.dir}: no such folder. Give the folder of the corpus.")
    names = options.local.get(split, [])
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if names:
        raise UserError(
            f"data.dir={folder}: no {split} split in this folder, looked for {' or '.join(names)}. "
            f"Rename the file, or give its path as data.{split}=FILE."
        )
    return None


def _fetched(options: DataOptions, split: str, progress: Progress | None) -> Path | None:
    """Download the split; an item of `downloads` lists splits and their archive members."""
    hint = f"Without the network, give data.dir=FOLDER with the files of {options.name} in it."
    for item in options.downloads:
        if split not in item["splits"]:
            continue
        folder = cache_dir(options.cache_dir) / "corpora" / options.name
        archive = fetch(Download(item["url"], item.get("checksum")), folder, hint, progress)
        member = item["splits"][split]
        if archive.suffix == ".zip":
            return extract_zip(archive, member, folder / member, hint)
        if archive.suffix == ".gz":
            return extract_gzip(archive, folder / member, hint)
        return archive
    return None


def _hold_against_published(options: DataOptions, splits: dict[str, Split]) -> None:
    for name, expected in options.counts.items():
        if name not in splits:
            continue
        found = _flat(Counts.of(splits[name].sentences))
        wrong = [
            f"{what} {found.get(what, 0):,} (published: {number:,})"
            for what, number in expected.items()
            if found.get(what, 0) != number
        ]
        if wrong:
            raise UserError(
                f"{splits[name].path}: this is not the published {name} split of {options.name}: "
                f"{', '.join(wrong)}. Use the original files, or data.verify=false to use these."
            )


def _rename_types(splits: dict[str, Split], names: Mapping[str, str]) -> None:
    """Apply `data.map_types`; names that occur in no split get a remark."""
    types: set[str] = set()
    for split in splits.values():
        for sentence in split.sentences:
            if here := {tag.partition("-")[2] for tag in sentence.tags if tag != OUTSIDE}:
                types |= here
                if not here.isdisjoint(names):
                    sentence.tags = with_types(sentence.tags, names, split.scheme)
    if absent := sorted(names.keys() - types):
        first = next(iter(splits.values()))
        first.remarks.append(
            f"data.map_types: no entity of the type{'s' * (len(absent) > 1)} {', '.join(absent)} in "
            f"{', '.join(splits)}. There are {', '.join(sorted(types)) or 'none'}."
        )


def _flat(counts: Counts) -> dict[str, Any]:
    return {
        "documents": counts.documents,
        "sentences": counts.sentences,
        "tokens": counts.tokens,
        **counts.per_type,
    }


def _share(train: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Divide a split by documents if it marks enough of them, else by sentences."""
    documents = sorted({sentence.document for sentence in train.sentences})
    by_document = len(documents) >= _FEW_DOCUMENTS
    units = documents if by_document else list(range(len(train.sentences)))
    number = max(1, round(share * len(units)))
    if number >= len(units):
        words = sum(len(sentence.words) for sentence in train.sentences)
        raise UserError(
            f"{train.path}: too few sentences to hold out a dev split ({len(train.sentences)}, of {words:,} words). "
            "Give data.dev=FILE, and check that there is a blank line between sentences."
        )
    held = set(random.Random(seed).sample(units, number))
    kept: list[Sentence] = []
    dev: list[Sentence] = []
    for index, sentence in enumerate(train.sentences):
        (dev if (sentence.document if by_document else index) in held else kept).append(sentence)
    return (
        Split("train", train.path, kept, train.scheme, remarks=train.remarks),
        Split("dev", f"{train.path} (held out: {share:g}, seed {seed})", dev, train.scheme, train.path),
    )
