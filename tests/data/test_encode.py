"""Sentences as arrays: forms, letters, labels, features."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.encoding import EncodedSplit, FormTable, distinct_words, encode_split
from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import SCHEMES, convert, spans_of
from ner_lab.data.vocab import UNK, FeatureVocab, TagVocab, Vocab, Vocabs, WordVocab

SENTENCES = [
    Sentence(["Ann", "met", "Ann"], ["B-PER", "O", "B-PER"], document=0, line=1),
    Sentence(["Oslo"], ["I-LOC"], document=0, line=5),
    Sentence(["Berg", "Holm", "Åse"], ["B-PER", "B-PER", "I-EVENT"], document=1, line=7),
]


class Endings:
    """Dense: the last letter and the length. Sparse: every letter in `aeo`, by name."""

    columns: tuple[str, ...] = ("last", "size")
    min_count = 1

    def dense(self, sentence: Sentence) -> list[list[str]]:
        return [[word[-1] for word in sentence.words], [str(len(word)) for word in sentence.words]]

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        return [[f"has={letter}" for letter in word.lower() if letter in "aeo"] for word in sentence.words]

    def fingerprint(self) -> dict[str, Any]:
        return {}


def vocabs_for(scheme: str = "IOBES") -> Vocabs:
    columns = {"last": Vocab.of(["n", "t", "o"]), "size": Vocab.of(["3", "4"])}
    return Vocabs(
        words=WordVocab.of(["Ann", "met", "Oslo"]),
        chars=Vocab.of("Anmet"),
        tags=TagVocab.of(["PER", "LOC"], scheme),
        features=FeatureVocab(columns, Vocab(["has=a", "has=o"])),
    )


def table_of(
    words: list[str],
    *,
    digits: str = "keep",
    unknown_chars: str = "unk",
    max_word_length: int | None = None,
    singletons: frozenset[str] = frozenset(),
) -> FormTable:
    vocabs = vocabs_for()
    return FormTable.of(
        words,
        vocabs,
        digits=digits,
        unknown_chars=unknown_chars,
        max_word_length=max_word_length,
        singletons=set(singletons),
    )


def encoded(scheme: str = "IOBES", train: bool = False) -> tuple[EncodedSplit, dict[str, int]]:
    vocabs = vocabs_for(scheme)
    words = distinct_words(SENTENCES)
    labels = dict(vocabs.tags.ids)
    form_ids = {word: number for number, word in enumerate(words)}
    table = table_of(words)
    split = encode_split("dev", "dev.conll", SENTENCES, table, form_ids, labels, vocabs, Endings(), train=train)
    return split, labels


def test_a_form_is_a_distinct_spelling_in_the_order_of_its_first_appearance() -> None:
    split, _ = encoded()
    assert split.table.spellings == ["Ann", "met", "Oslo", "Berg", "Holm", "Åse"]
    assert split.forms.tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert [split.words_of(number) for number in range(len(split))] == [s.words for s in SENTENCES]
    assert split.sentence_lengths.tolist() == [3, 1, 3]
    assert split.documents.tolist() == [0, 0, 1]


def test_letters_that_train_lacks_are_unknown_or_skipped() -> None:
    words = ["Ann", "Åse", "xyz"]
    known = table_of(words)
    assert known.chars.tolist() == [[2, 3, 3], [UNK, UNK, 5], [UNK, UNK, UNK]]
    assert known.lengths.tolist() == [3, 3, 3]
    skipped = table_of(words, unknown_chars="skip")
    assert skipped.chars.tolist() == [[2, 3, 3], [5, 0, 0], [UNK, 0, 0]]  # no word is left without a letter
    assert skipped.lengths.tolist() == [3, 1, 1]


def test_letters_behind_the_longest_length_are_not_encoded() -> None:
    table = table_of(["metAnn", "Ann", "m"], max_word_length=2)
    assert table.chars.tolist() == [[4, 5], [2, 3], [4, 0]]
    assert table.lengths.tolist() == [2, 2, 1]


@settings(deadline=None, max_examples=100)
@given(
    words=st.lists(st.text(alphabet="Anmetx\u5317\U0001f600\udc80", max_size=7), max_size=6),
    unknown=st.sampled_from(["unk", "skip"]),
    limit=st.sampled_from([None, 3]),
)
def test_letters_are_those_looked_up_one_by_one(words: list[str], unknown: str, limit: int | None) -> None:
    chars = vocabs_for().chars
    table = table_of(words, unknown_chars=unknown, max_word_length=limit)
    letters = [[chars[letter] for letter in word[:limit]] for word in words]
    if unknown == "skip":
        letters = [[number for number in word if number != UNK] for word in letters]
    letters = [word or [UNK] for word in letters]
    width = max(map(len, letters), default=1)
    assert table.lengths.tolist() == [len(word) for word in letters]
    assert table.chars.tolist() == [word + [0] * (width - len(word)) for word in letters]
    assert table.chars.shape == (len(words), width)
    assert {table.chars.dtype, table.lengths.dtype} == {np.dtype(np.int64)}


@pytest.mark.parametrize(("digits", "number"), [("keep", UNK), ("zero", 2), ("zero_run", 3)])
def test_words_are_looked_up_after_their_digits_are_normalised(digits: str, number: int) -> None:
    vocabs = vocabs_for()
    vocabs.words = WordVocab.of(["A00", "A0"])
    table = FormTable.of(["A31"], vocabs, digits=digits, unknown_chars="unk", max_word_length=None)
    assert table.words.tolist() == [number]
    assert table.spellings == ["A31"]


def test_every_spelling_of_a_word_that_train_has_once_is_marked() -> None:
    vocabs = vocabs_for()
    vocabs.words = WordVocab.of(["ann", "met"])
    vocabs.words.lowercase = True
    words = ["Ann", "ANN", "met", "Oslo"]
    table = FormTable.of(words, vocabs, digits="keep", unknown_chars="unk", max_word_length=None, singletons={"ann"})
    assert table.singletons.tolist() == [True, True, False, False]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_labels_are_the_files_entities_in_the_scheme_and_new_tags_are_numbered_behind(scheme: str) -> None:
    split, labels = encoded(scheme)
    tags = vocabs_for(scheme).tags
    names = list(labels)
    assert names[: len(tags)] == tags.items
    rows = [split.labels[begin:end] for begin, end in pairwise(split.starts)]
    for sentence, row in zip(SENTENCES, rows, strict=True):
        assert spans_of([names[label] for label in row]) == spans_of(sentence.tags)
    beyond = {names[label] for label in split.labels if label >= len(tags)}
    unknown_type = {tag for tag in beyond if tag.endswith("EVENT")}
    assert len(unknown_type) == 1
    assert beyond - unknown_type == ({"B-PER"} if scheme == "IO" else set())


def test_in_io_train_has_no_label_that_a_tagger_lacks() -> None:
    vocabs = vocabs_for("IO")
    vocabs.tags = TagVocab.of(["PER", "LOC", "EVENT"], "IO")
    words = distinct_words(SENTENCES)
    labels = dict(vocabs.tags.ids)
    form_ids = {word: number for number, word in enumerate(words)}
    split = encode_split("train", "-", SENTENCES, table_of(words), form_ids, labels, vocabs, Endings(), train=True)
    assert labels == vocabs.tags.ids
    expected = [tag for sentence in SENTENCES for tag in convert(sentence.tags, "IO")]
    assert [vocabs.tags.items[label] for label in split.labels] == expected


def test_dense_features_are_numbered_and_unknown_values_are_unknown() -> None:
    split, _ = encoded()
    #                                   Ann     met     Ann     Oslo    Berg      Holm      Åse
    assert split.categories.tolist() == [[2, 2], [3, 2], [2, 2], [4, 3], [UNK, 3], [UNK, 3], [UNK, 2]]


def test_each_tokens_sparse_features_lie_one_behind_another_without_unknown_ones() -> None:
    split, _ = encoded()
    per_token = [split.sparse[a:b].tolist() for a, b in pairwise(split.sparse_starts)]
    #                    Ann  met Ann  Oslo    Berg Holm Åse
    assert per_token == [[0], [], [0], [1, 1], [], [1], []]


def test_without_features_their_arrays_are_empty() -> None:
    vocabs = vocabs_for()
    vocabs.features = FeatureVocab()

    class Nothing(Endings):
        columns = ()

        def dense(self, sentence: Sentence) -> list[list[str]]:
            return []

        def sparse(self, sentence: Sentence) -> list[list[str]]:
            return []

    words = distinct_words(SENTENCES)
    form_ids = {word: number for number, word in enumerate(words)}
    split = encode_split("dev", "-", SENTENCES, table_of(words), form_ids, dict(vocabs.tags.ids), vocabs, Nothing())
    assert split.categories.shape == (7, 0)
    assert split.sparse_starts.size == split.sparse.size == 0
    assert split.categories.dtype == np.int64


def test_letters_are_filled_up_to_any_widths_and_in_any_order() -> None:
    drawn = np.random.default_rng(1)
    words = ["".join(drawn.choice(list("Anmet"), size=length)) for length in (3, 1, 7, 2)]
    table = table_of(words)
    of_each = np.split(table.letters, np.cumsum(table.lengths)[:-1])
    for _ in range(50):
        forms = drawn.integers(0, 4, size=drawn.integers(1, 9))
        widths = table.lengths[forms] + drawn.integers(0, 4, size=len(forms))
        rows = zip(forms, widths, strict=True)
        expected = [[*of_each[form], *[0] * (width - len(of_each[form]))] for form, width in rows]
        assert table.filled_up(forms, widths).tolist() == [letter for row in expected for letter in row]
