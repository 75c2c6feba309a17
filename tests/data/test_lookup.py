"""Matching a corpus with a file of vectors: which words come in, with which vectors, and how many are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.vector_lookup import (
    MISSING,
    VectorRows,
    check_coverage,
    coverage,
    wanted_forms,
    with_vectors,
    word_class,
)
from ner_lab.data.vocab import LOOKUP_STEPS, UNK, WordVocab
from ner_lab.errors import UserError

LOOKUP = ("exact", "lower", "lower_zero_digits")
spellings = st.text("aA1", min_size=1, max_size=3)


def rows_of(words: list[str], lookup: tuple[str, ...] = LOOKUP) -> VectorRows:
    matrix = np.arange(2 * len(words), dtype=np.float32).reshape(-1, 2)
    return VectorRows({word: row for row, word in enumerate(words)}, matrix, lookup)


FILE = rows_of(["the", "Oslo", "oslo", "0000", "bergen", "unused"])
TRAIN = WordVocab.of(["The", "Oslo", "1996", "Holm"])
CORPUS = {"The": 3, "Oslo": 2, "1996": 1, "Holm": 1, "OSLO": 1, "Bergen": 2, "2026": 5, "Ann": 1, "bergen": 1}


def test_a_match_names_the_first_step_that_finds_the_word_and_the_form_it_is_found_under() -> None:
    assert FILE.match("Oslo") == ("exact", "Oslo")
    assert FILE.match("OSLO") == ("lower", "oslo")
    assert FILE.match("1996") == ("lower_zero_digits", "0000")
    assert FILE.match("Holm") is None
    assert rows_of(["Oslo", "oslo"], ("lower", "exact")).match("Oslo") == ("lower", "oslo")


@settings(max_examples=60, deadline=None)
@given(
    corpus=st.lists(spellings, max_size=8),
    file=st.lists(spellings, unique=True, max_size=8),
    lookup=st.lists(st.sampled_from(list(LOOKUP_STEPS)), unique=True, min_size=1),
)
def test_the_wanted_forms_of_a_file_find_all_that_the_whole_file_finds(
    corpus: list[str], file: list[str], lookup: list[str]
) -> None:
    steps = tuple(lookup)
    wanted = wanted_forms(corpus, steps)
    part = rows_of([word for word in file if word in wanted], steps)
    whole = rows_of(file, steps)
    assert [part.match(word) for word in corpus] == [whole.match(word) for word in corpus]


@pytest.mark.parametrize(
    ("which", "known"),
    [
        ("train", []),
        ("corpus", ["oslo", "bergen", "0000"]),
        ("file", ["the", "Oslo", "oslo", "0000", "bergen", "unused"]),
    ],
)
def test_the_words_that_only_the_file_knows_are_none_or_the_corpuss_or_all(which: str, known: list[str]) -> None:
    vocab, vectors = with_vectors(TRAIN, CORPUS, FILE, which)
    assert vocab.items == TRAIN.items
    assert vocab.known == known
    assert vocab.lookup == LOOKUP
    assert vectors.shape == (len(TRAIN.items) + len(known), 2)
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("which", ["train", "corpus", "file"])
def test_every_word_has_the_vector_that_it_is_found_under(which: str) -> None:
    vocab, vectors = with_vectors(TRAIN, CORPUS, FILE, which)
    assert np.isnan(vectors[:2]).all()  # padding and the unknown word
    for word in CORPUS:
        match = FILE.match(word)
        number = vocab.find(word)
        if word in TRAIN.ids:
            assert 2 <= number < len(TRAIN.items)
        elif which == "train" or match is None:
            assert number == UNK
            continue
        else:
            assert number >= len(TRAIN.items)
        expected = FILE.matrix[FILE.rows[match[1]]] if match else np.full(2, np.nan)
        np.testing.assert_array_equal(vectors[number], expected)
    unseen = vocab.find("UNUSED")
    assert (unseen >= len(TRAIN.items)) if which == "file" else (unseen == UNK)


def test_padding_and_the_unknown_word_take_no_vector_of_a_file_that_has_words_of_that_spelling() -> None:
    _, vectors = with_vectors(TRAIN, CORPUS, rows_of([*TRAIN.items[:2], "Oslo"]), "corpus")
    assert np.isnan(vectors[:2]).all()
    assert not np.isnan(vectors[TRAIN.find("Oslo")]).any()


@settings(max_examples=60, deadline=None)
@given(
    train=st.lists(spellings, unique=True, max_size=5),
    others=st.lists(spellings, max_size=6),
    file=st.lists(spellings, unique=True, min_size=1, max_size=8),
    lookup=st.lists(st.sampled_from(list(LOOKUP_STEPS)), unique=True, min_size=1),
)
def test_corpus_and_whole_file_give_every_word_of_the_corpus_the_same_vector(
    train: list[str], others: list[str], file: list[str], lookup: list[str]
) -> None:
    source = rows_of(file, tuple(lookup))
    vocab = WordVocab.of(train)
    corpus = [*train, *others]
    (small, some), (large, every) = (with_vectors(vocab, corpus, source, which) for which in ("corpus", "file"))
    for word in corpus:
        np.testing.assert_array_equal(some[small.find(word)], every[large.find(word)])


def test_lower_cased_vocabularies_keep_lower_casing_and_look_up_lower_cased_words() -> None:
    vocab, vectors = with_vectors(WordVocab(["", "", "oslo"], lowercase=True), ["oslo", "bergen"], FILE, "corpus")
    assert vocab.find("OSLO") == 2
    assert vocab.find("BERGEN") == 3
    np.testing.assert_array_equal(vectors[2], FILE.matrix[FILE.rows["oslo"]])


def test_coverage_counts_tokens_and_types_at_each_step() -> None:
    # exact: Oslo, bergen; lower: The, OSLO, Bergen; digits zeroed: 1996, 2026; missing: Holm, Ann
    assert coverage(CORPUS, FILE) == {
        "tokens": {"exact": 3, "lower": 6, "lower_zero_digits": 6, MISSING: 2},
        "types": {"exact": 2, "lower": 3, "lower_zero_digits": 2, MISSING: 2},
    }


@pytest.mark.parametrize(
    ("in_train", "in_file", "name"),
    [(True, True, "IV"), (False, True, "OOTV"), (True, False, "OOEV"), (False, False, "OOBV")],
)
def test_a_words_class_says_where_it_is_out_of_vocabulary(in_train: bool, in_file: bool, name: str) -> None:
    assert word_class(in_train=in_train, in_file=in_file) == name


def test_too_little_coverage_is_an_error_with_the_counts_the_file_and_the_way_out() -> None:
    found = {
        "tokens": {"exact": 9000, "lower": 2, MISSING: 1},
        "types": {"exact": 1, "lower": 2, MISSING: 23_621},
    }
    with pytest.raises(UserError, match=r"^vectors\.txt: only 3 of 23,624 words .*\(0\.0%\).*min_coverage .* 50%"):
        check_coverage(found, 0.5, "vectors.txt")


def test_coverage_is_asked_of_types_and_exactly_enough_is_enough() -> None:
    found = {"tokens": {"exact": 1, MISSING: 999}, "types": {"exact": 2, MISSING: 2}}
    check_coverage(found, 0.5, "vectors.txt")
    with pytest.raises(UserError):
        check_coverage(found, 0.51, "vectors.txt")
    check_coverage({"tokens": {MISSING: 0}, "types": {MISSING: 0}}, 1.0, "vectors.txt")
