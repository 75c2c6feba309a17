"""Encode sentences as flat arrays of numbers.

A distinct spelling is a *form*. A token is only the number of its form; what is derived from the spelling (word number,
characters) is stored once for each form.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import OPENED_BY_I, convert, opened_without_b
from ner_lab.data.vocab import UNK, Vocab, Vocabs, normalise_digits
from ner_lab.errors import UserError
from ner_lab.user_code import is_own, name_of, reported


class FeatureSource(Protocol):
    """What data preparation requires of a feature set; implemented in `ner_lab.models.features`."""

    columns: tuple[str, ...]
    """Names of the dense columns: categories that are embedded and join the encoder's input."""
    min_count: int
    """Sparse features with fewer occurrences in train are left out."""

    def learn(self, train: Sequence[Sentence]) -> Any:
        """What the set must learn from train before it reads any sentence, as plain data."""

    def remember(self, learnt: Any) -> None:
        """Take the result of `learn`, before the first sentence is read."""

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """For each column, one value per word."""

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word, the names of its features; `[]` for a set without sparse features."""

    def fingerprint(self) -> dict[str, Any]:
        """Plain data that changes whenever the features would."""


@dataclass
class FormTable:
    """The spellings of a data set and what is derived from each."""

    spellings: list[str]
    words: np.ndarray
    """(forms,) number of the word"""
    letters: np.ndarray
    """(characters of all forms,) character numbers, form after form: a long word costs only its own length"""
    lengths: np.ndarray
    """(forms,) characters"""
    singletons: np.ndarray
    """(forms,) bool: its word occurs once in train"""

    def __post_init__(self) -> None:
        self.begins = np.cumsum(self.lengths) - self.lengths
        """(forms,) start of each form's characters"""

    @property
    def chars(self) -> np.ndarray:
        """(forms, characters) character numbers, padded with 0; as wide as the longest form."""
        width = int(self.lengths.max(initial=1))
        return self.filled_up(np.arange(len(self.lengths)), width).reshape(-1, width)

    def filled_up(self, forms: np.ndarray, widths: np.ndarray | int) -> np.ndarray:
        """The concatenated characters of these forms (sum of widths,), each padded with 0 to its width."""
        lengths = self.lengths[forms]
        widths = np.broadcast_to(widths, lengths.shape)
        row_begins, own_begins = np.cumsum(widths) - widths, np.cumsum(lengths) - lengths
        steps = np.arange(lengths.sum()) - np.repeat(own_begins, lengths)  # position within the form
        filled = np.zeros(widths.sum(), dtype=self.letters.dtype)
        filled[np.repeat(row_begins, lengths) + steps] = self.letters[np.repeat(self.begins[forms], lengths) + steps]
        return filled

    @classmethod
    def of(
        cls,
        spellings: Sequence[str],
        vocabs: Vocabs,
        *,
        digits: str,
        unknown_chars: str,
        max_word_length: int | None,
        singletons: set[str] = frozenset(),  # type: ignore[assignment]
    ) -> "FormTable":
        normal = [normalise_digits(spelling, digits) for spelling in spellings]
        words = np.array([vocabs.words.find(word) for word in normal], dtype=np.int64)
        letters, lengths = _letters(normal, vocabs.chars, unknown_chars, max_word_length)
        single = np.zeros(len(normal), dtype=bool)
        if singletons:
            single[:] = [vocabs.words.key(word) in singletons for word in normal]
        return cls(list(spellings), words, letters, lengths, single)


def _letters(words: Sequence[str], vocab: Vocab, unknown: str, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Concatenated character numbers of all words, and the number of characters in each word (words,).

    A word without characters has one, the unknown.
    """
    cut = [word[:limit] for word in words]
    points = np.frombuffer("".join(cut).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    letters = _numbers_by_code_point(vocab)
    letters = letters[np.minimum(points, len(letters) - 1)]  # of all words, concatenated
    owner = np.repeat(np.arange(len(cut)), [len(word) for word in cut])
    if unknown == "skip":
        known = letters != UNK
        letters, owner = letters[known], owner[known]
    lengths = np.bincount(owner, minlength=len(cut))
    letterless = np.flatnonzero(lengths == 0)
    letters = np.insert(letters, (np.cumsum(lengths) - lengths)[letterless], UNK)
    return letters, np.maximum(lengths, 1)


def _numbers_by_code_point(vocab: Vocab) -> np.ndarray:
    """The number of each character at its code point; the last entry is for all higher ones, which are unknown."""
    known = {ord(item): number for item, number in vocab.ids.items() if len(item) == 1}
    numbers = np.full(max(known, default=0) + 2, UNK, dtype=np.int64)
    numbers[list(known)] = list(known.values())
    return numbers


@dataclass
class EncodedSplit:
    """A split as arrays over its tokens, sentence after sentence."""

    name: str
    path: str
    table: FormTable
    starts: np.ndarray
    """(sentences + 1,) start of each sentence"""
    forms: np.ndarray
    """(tokens,) row in `table`"""
    labels: np.ndarray
    """(tokens,) number of the gold tag in the list of labels: the vocabulary's tags, then unseen ones"""
    documents: np.ndarray
    """(sentences,)"""
    categories: np.ndarray
    """(tokens, columns) values of the dense features"""
    sparse_starts: np.ndarray
    """(tokens + 1,) start of each token's sparse features; empty for a set without them"""
    sparse: np.ndarray
    """(active features,) numbers of the sparse features"""
    unopened: np.ndarray
    """(n,) tokens at which the file starts an entity with I- (E-, L-) although its scheme starts it with B-; `labels`
    have the B- there
    """

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sentence_lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def words_of(self, sentence: int) -> list[str]:
        begin, end = self.starts[sentence], self.starts[sentence + 1]
        return [self.table.spellings[form] for form in self.forms[begin:end]]


def encode_split(
    name: str,
    path: str,
    sentences: Sequence[Sentence],
    table: FormTable,
    form_ids: dict[str, int],
    labels: dict[str, int],
    vocabs: Vocabs,
    features: FeatureSource,
    *,
    train: bool = False,
    file_scheme: str = "IOB2",
) -> EncodedSplit:
    """Sentences to arrays. `labels` numbers the tags and grows with each new tag.

    file_scheme: the scheme of the sentences' tags.

    IO cannot separate adjacent entities of one type. Outside `train` a B, which no IO tagger predicts, separates them,
    so that gold entities are those of the file.
    """
    scheme = "IOB1" if vocabs.tags.scheme == "IO" and not train else vocabs.tags.scheme
    lengths = [len(sentence.words) for sentence in sentences]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    checked = sentences if file_scheme not in OPENED_BY_I else ()
    with reported(classes_in(features), "features", "dense or sparse"):
        sparse_starts, sparse = _encode_sparse(sentences, features, vocabs.features.sparse)
        categories = _encode_columns(sentences, features, vocabs.features.columns, sum(lengths))
    return EncodedSplit(
        name=name,
        path=path,
        table=table,
        starts=starts,
        forms=_flat(form_ids[word] for sentence in sentences for word in sentence.words),
        labels=_flat(
            labels.setdefault(tag, len(labels)) for sentence in sentences for tag in convert(sentence.tags, scheme)
        ),
        documents=_flat(sentence.document for sentence in sentences),
        categories=categories,
        sparse_starts=sparse_starts,
        sparse=sparse,
        unopened=_flat(
            start + word
            for start, sentence in zip(starts.tolist(), checked, strict=False)
            for word in opened_without_b(sentence.tags)
        ),
    )


def classes_in(features: FeatureSource) -> list[str]:
    """The class of a feature set, then the classes of its parts."""
    return [name_of(one) for one in (features, *getattr(features, "parts", {}).values())]


def dense_of(features: FeatureSource, sentence: Sentence) -> list[list[str]]:
    """The dense features of a sentence; UserError unless each column has one value per word."""
    found, length = features.dense(sentence), len(sentence.words)
    if len(found) != len(features.columns) or any(len(values) != length or type(values) is str for values in found):
        raise UserError(
            f"{_own_or_first(features)} (conf: features) returns {_sizes(found)} as `dense` for a sentence of {length} "
            f"words, expected a list for each of its {len(features.columns)} columns, each with one value per word."
        )
    return found


def sparse_of(features: FeatureSource, sentence: Sentence) -> list[list[str]]:
    """The sparse features of a sentence; UserError unless there is a list of names for each word, or none at all."""
    found, length = features.sparse(sentence), len(sentence.words)
    if len(found) not in (0, length) or str in map(type, found):
        raise UserError(
            f"{_own_or_first(features)} (conf: features) returns {_sizes(found)} as `sparse` for a sentence of "
            f"{length} words, expected a list of names for each word."
        )
    return found


def _own_or_first(features: FeatureSource) -> str:
    return next(filter(is_own, classes_in(features)), name_of(features))


def _sizes(found: Sequence[Sequence[str]]) -> str:
    """`lists of length 1, 3`, `texts`, `nothing`."""
    if str in map(type, found):
        return "texts"
    return f"{len(found)} x lists of length {', '.join(map(str, sorted(set(map(len, found)))))}" if found else "nothing"


def distinct_words(sentences: Iterable[Sentence]) -> list[str]:
    """Distinct spellings in order of first appearance."""
    return list(dict.fromkeys(word for sentence in sentences for word in sentence.words))


def _flat(numbers: Iterable[int]) -> np.ndarray:
    return np.fromiter(numbers, dtype=np.int64)


def _encode_columns(
    sentences: Sequence[Sentence], features: FeatureSource, vocabs: dict[str, Vocab], tokens: int
) -> np.ndarray:
    result = np.zeros((tokens, len(features.columns)), dtype=np.int64)
    position = 0
    for sentence in sentences if features.columns else ():
        length = len(sentence.words)
        for column, values in enumerate(dense_of(features, sentence)):
            vocab = vocabs[features.columns[column]]
            result[position : position + length, column] = [vocab[value] for value in values]
        position += length
    return result


def _encode_sparse(
    sentences: Sequence[Sentence], features: FeatureSource, vocab: Vocab
) -> tuple[np.ndarray, np.ndarray]:
    if not len(vocab):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    counts, active = array("q", [0]), array("q")  # a list stores each number as an object, five times as large
    for sentence in sentences:
        for names in sparse_of(features, sentence) or [[]] * len(sentence.words):
            known = [vocab.ids[name] for name in names if name in vocab.ids]
            active.extend(known)
            counts.append(len(known))
    return np.cumsum(np.frombuffer(counts, dtype=np.int64)), np.array(active, dtype=np.int64)
