"""Prepare a data set from column files: vocabularies, arrays, vectors, a report. Cached."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.encoding import (
    EncodedSplit,
    FeatureSource,
    FormTable,
    classes_in,
    dense_of,
    distinct_words,
    encode_split,
    sparse_of,
)
from ner_lab.data.options import DataOptions
from ner_lab.data.remarks import improper_gold, remarks_on, unseen_types
from ner_lab.data.sentence import Counts, Sentence, Split
from ner_lab.data.tags import OUTSIDE, split_tag
from ner_lab.data.vector_lookup import VectorRows, check_coverage, coverage, wanted_forms, with_vectors, word_class
from ner_lab.data.vocab import FeatureVocab, TagVocab, Vocab, Vocabs, WordVocab, normalise_digits
from ner_lab.errors import UserError
from ner_lab.io.cache import Entry, cache_dir, content_hash, get_or_make, key_of
from ner_lab.io.download import Progress
from ner_lab.user_code import is_own, reported
from ner_lab.version import __version__

_LAYOUT = 7  # version of a cache entry; raise it when its files, or the meaning of its arrays, change
_TABLE_ARRAYS = ("words", "letters", "lengths", "singletons")
_SPLIT_ARRAYS = ("starts", "forms", "labels", "documents", "categories", "sparse_starts", "sparse", "unopened")


class VectorSource(Protocol):
    """What data preparation requires of a word embedding; implemented in `ner_lab.models.word_embedding`."""

    lookup: tuple[str, ...]
    """Forms under which a word is looked up; empty if there is no file."""
    min_coverage: float
    from_scratch: bool
    """Whether there are vectors that are learnt from train alone."""

    def file(self, cache: Path, progress: Progress | None) -> Path | None:
        """The file of vectors, downloaded if need be; None for an embedding without one."""

    def rows(self, path: Path, wanted: set[str] | None, cache: Path | None = None) -> tuple[list[str], np.ndarray]:
        """Words of the file (those in `wanted`, or all) and their vectors (words, dim) float32."""

    def fingerprint(self) -> dict[str, Any]:
        """Plain data that changes whenever the rows of the same file would."""


@dataclass
class Prepared:
    """All that training, scoring and the start-up summary need from the data."""

    vocabs: Vocabs
    labels: list[str]
    """The vocabulary's tags, then tags only in dev or test: scored, never predicted."""
    splits: dict[str, EncodedSplit]
    """`train` is the training data: with `data.train_on=[train,dev]` the sentences of both files."""
    vectors: np.ndarray | None
    """(words, dim) float32 rows of the file for `vocabs.words`, NaN for missing ones"""
    counts: dict[str, Counts]
    schemes: dict[str, str]
    """The tag scheme of each split's file."""
    coverage: dict[str, dict[str, int]] | None
    """`tokens` and `types`: the number found at each look-up step, and `missing`"""
    warnings: list[str] = field(default_factory=list)
    """Doubtful properties of the data (`ner_lab.data.remarks`), one line each"""
    improper_gold: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`ImproperGold` of the splits that have any"""
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    """`path` and `sha256` of the file of each split, and of the `vectors`"""


def prepare(
    options: DataOptions,
    features: FeatureSource,
    vectors: VectorSource,
    progress: Progress | None = None,
) -> Prepared:
    """Read the corpus, build vocabularies, encode it and look up vectors; or load the result from the cache."""
    cache = cache_dir(options.cache_dir)
    places = locate(options, progress)
    vector_file = vectors.file(cache, progress)
    files = {**places, **({"vectors": vector_file} if vector_file else {})}
    sources = {name: {"path": str(path), "sha256": content_hash(path, cache)} for name, path in files.items()}
    key = key_of(
        version=[__version__, _LAYOUT],
        options=options.what_encoding_depends_on(),
        files={split: [str(path), sources[split]["sha256"]] for split, path in places.items()},
        features=features.fingerprint(),
        vectors=[vectors.fingerprint(), sources["vectors"]["sha256"] if vector_file else None],
    )

    def make() -> Entry:
        return _to_entry(_prepare(options, places, features, vectors, vector_file))

    prepared = replace(_from_entry(*get_or_make(cache / "prepared", key, make)), sources=sources)
    if prepared.coverage is not None:
        check_coverage(prepared.coverage, vectors.min_coverage, str(vector_file))
    return prepared


def _prepare(
    options: DataOptions,
    places: dict[str, Path],
    features: FeatureSource,
    vectors: VectorSource,
    vector_file: Path | None,
) -> Prepared:
    splits = read_corpus(options, places)
    counts = {name: Counts.of(split.sentences) for name, split in splits.items()}
    warnings = remarks_on(splits, options, from_scratch=vectors.from_scratch)
    improper = {name: asdict(gold) for name, split in splits.items() if (gold := improper_gold(split))}
    _limit_sentences(splits["train"], options.max_sentence_length, warnings)
    every: Counter[str] = sum((_count_words(split.sentences, options) for split in splits.values()), Counter())
    if options.trains_on_dev:
        splits["train"] = _with_dev(splits, options.max_sentence_length, warnings)
    tags = TagVocab.of(_entity_types(splits["train"].sentences), options.scheme)
    if not tags.entity_types:
        raise UserError(f"{splits['train'].path}: no entities, all tags are O. Is data.columns.tag the right column?")
    warnings += unseen_types(splits)

    train_counts = _count_words(splits["train"].sentences, options)
    words = WordVocab.of(word for word, number in train_counts.items() if number >= options.min_count)
    words.lowercase = options.lowercase
    matrix, found, classes = None, None, {}
    if vector_file is not None:
        written = {words.key(word) for split in splits.values() for word in distinct_words(split.sentences)}
        wanted = None if options.vocabulary == "file" else wanted_forms(written | every.keys(), vectors.lookup)
        file_words, file_matrix = vectors.rows(vector_file, wanted, cache_dir(options.cache_dir))
        file = VectorRows({word: row for row, word in enumerate(file_words)}, file_matrix, vectors.lookup)
        found = coverage(every, file)
        classes = _word_classes(splits, file, words)
        words, matrix = with_vectors(words, every, file, options.vocabulary)

    vocabs = Vocabs(
        words=words,
        chars=Vocab.of(
            sorted({letter for word in _normal_words(splits["train"].sentences, options) for letter in word})
        ),
        tags=tags,
        features=_feature_vocab(features, splits["train"].sentences),
        vector_dim=0 if matrix is None else matrix.shape[1],
        word_classes=classes,
    )
    spellings = distinct_words(sentence for split in splits.values() for sentence in split.sentences)
    table = form_table(spellings, vocabs, options, {word for word, number in train_counts.items() if number == 1})
    form_ids = {spelling: number for number, spelling in enumerate(spellings)}
    labels = dict(tags.ids)
    encoded = {
        name: encode_split(
            name,
            split.path,
            split.sentences,
            table,
            form_ids,
            labels,
            vocabs,
            features,
            train=name == "train",
            file_scheme=split.scheme,
        )
        for name, split in splits.items()
    }
    schemes = {name: split.scheme for name, split in splits.items()}
    return Prepared(vocabs, list(labels), encoded, matrix, counts, schemes, found, warnings, improper)


def form_table(
    spellings: Sequence[str], vocabs: Vocabs, options: DataOptions, singletons: set[str] | None = None
) -> FormTable:
    """The table of these spellings under the normalisation set in `options`."""
    return FormTable.of(
        spellings,
        vocabs,
        digits=options.digits,
        unknown_chars=options.unknown_chars,
        max_word_length=options.max_word_length,
        singletons=singletons or set(),
    )


def encode(
    sentences: Sequence[Sentence],
    vocabs: Vocabs,
    options: DataOptions,
    features: FeatureSource,
    name: str = "new",
    path: str = "-",
    file_scheme: str = "IOB2",
) -> tuple[EncodedSplit, list[str]]:
    """Encode more sentences with existing vocabularies; returns the split and its list of labels.

    file_scheme: the scheme of their tags.
    """
    spellings = distinct_words(sentences)
    table = form_table(spellings, vocabs, options)
    form_ids = {spelling: number for number, spelling in enumerate(spellings)}
    labels = dict(vocabs.tags.ids)
    split = encode_split(name, path, sentences, table, form_ids, labels, vocabs, features, file_scheme=file_scheme)
    return split, list(labels)


def _normal_words(sentences: Sequence[Sentence], options: DataOptions) -> dict[str, int]:
    """Words after digit normalisation, case kept, with their frequencies."""
    spellings = Counter(word for sentence in sentences for word in sentence.words)
    normal: Counter[str] = Counter()
    for spelling, number in spellings.items():
        normal[normalise_digits(spelling, options.digits)] += number
    return normal


def _count_words(sentences: Sequence[Sentence], options: DataOptions) -> Counter[str]:
    """Words as the vocabulary has them, with their frequencies."""
    counts: Counter[str] = Counter()
    for word, number in _normal_words(sentences, options).items():
        counts[word.lower() if options.lowercase else word] += number
    return counts


def _entity_types(sentences: Sequence[Sentence]) -> set[str]:
    tags = {tag for sentence in sentences for tag in sentence.tags}
    return {split_tag(tag)[1] for tag in tags if tag != OUTSIDE}


def _limit_sentences(train: Split, limit: int | None, warnings: list[str]) -> None:
    """Leave out longer sentences of train; dev and test are always complete."""
    if limit is None:
        return
    kept = [sentence for sentence in train.sentences if len(sentence.words) <= limit]
    if not kept:
        raise UserError(f"data.max_sentence_length={limit} leaves no sentence of {train.path}. Increase it.")
    left_out = len(train.sentences) - len(kept)
    if left_out:
        warnings.append(f"{train.path}: sentences longer than {limit} words are not trained on: {left_out:,}.")
        train.sentences = kept


def _with_dev(splits: dict[str, Split], limit: int | None, warnings: list[str]) -> Split:
    """Train followed by the sentences of dev. Dev itself is unchanged."""
    train, dev = splits["train"], splits["dev"]
    first = 1 + max(sentence.document for sentence in train.sentences)
    moved = [
        replace(sentence, document=first + sentence.document) if sentence.document >= 0 else sentence
        for sentence in dev.sentences
    ]
    added = Split(dev.name, dev.path, moved, dev.scheme)
    _limit_sentences(added, limit, warnings)
    return Split(train.name, train.path, train.sentences + added.sentences, train.scheme)


def _word_classes(splits: dict[str, Split], file: VectorRows, words: WordVocab) -> dict[str, str]:
    """The class of each spelling: in train if train has its lower-cased form, in the file if look-up finds a vector.

    Digits are not normalised, whatever `data.digits` is: all taggers are compared on the same classes.
    """
    trained = {word.lower() for word in distinct_words(splits["train"].sentences)}
    return {
        spelling: word_class(
            in_train=spelling.lower() in trained,
            in_file=file.match(words.key(spelling)) is not None,
        )
        for spelling in distinct_words(sentence for split in splits.values() for sentence in split.sentences)
    }


def _feature_vocab(features: FeatureSource, train: Sequence[Sentence]) -> FeatureVocab:
    classes = classes_in(features)
    with reported(classes, "features", "learn or remember"):
        learnt = features.learn(train)
        _check_plain(learnt, next(filter(is_own, classes), classes[0]))
        features.remember(learnt)
    values: list[set[str]] = [set() for _ in features.columns]
    sparse: Counter[str] = Counter()
    with reported(classes, "features", "dense or sparse"):
        for sentence in train:
            for column, found in enumerate(dense_of(features, sentence)):
                values[column].update(found)
            for names in sparse_of(features, sentence):
                sparse.update(names)
    columns = {name: Vocab.of(sorted(values[column])) for column, name in enumerate(features.columns)}
    return FeatureVocab(columns, Vocab([name for name, n in sparse.items() if n >= features.min_count]), learnt)


def _check_plain(learnt: object, target: str) -> None:
    """Refuse learnt data of a feature set that would change when stored as JSON."""
    try:
        kept = json.loads(json.dumps(learnt))
    except (TypeError, ValueError):
        kept = None
    if kept != learnt:
        raise UserError(
            f"{target} (conf: features) returns a value from `learn` that JSON cannot represent. Use dictionaries "
            "with strings as keys, lists, strings, numbers or None; write sets and tuples as lists."
        )


def _to_entry(prepared: Prepared) -> Entry:
    table = next(iter(prepared.splits.values())).table
    arrays = {f"table.{name}": getattr(table, name) for name in _TABLE_ARRAYS}
    for split_name, split in prepared.splits.items():
        arrays |= {f"{split_name}.{name}": getattr(split, name) for name in _SPLIT_ARRAYS}
    if prepared.vectors is not None:
        arrays["vectors"] = prepared.vectors
    meta = {
        "vocabs": prepared.vocabs.to_plain(),
        "labels": prepared.labels,
        "spellings": table.spellings,
        "splits": {name: split.path for name, split in prepared.splits.items()},
        "counts": {name: asdict(count) for name, count in prepared.counts.items()},
        "schemes": prepared.schemes,
        "coverage": prepared.coverage,
        "warnings": prepared.warnings,
        "improper_gold": prepared.improper_gold,
    }
    return arrays, meta


def _from_entry(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> Prepared:
    table = FormTable(meta["spellings"], **{name: arrays[f"table.{name}"] for name in _TABLE_ARRAYS})
    splits = {
        name: EncodedSplit(name, path, table, **{array: arrays[f"{name}.{array}"] for array in _SPLIT_ARRAYS})
        for name, path in meta["splits"].items()
    }
    return Prepared(
        vocabs=Vocabs.from_plain(meta["vocabs"]),
        labels=meta["labels"],
        splits=splits,
        vectors=arrays.get("vectors"),
        counts={name: Counts(**count) for name, count in meta["counts"].items()},
        schemes=meta["schemes"],
        coverage=meta["coverage"],
        warnings=meta["warnings"],
        improper_gold=meta["improper_gold"],
    )
