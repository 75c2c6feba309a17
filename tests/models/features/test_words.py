"""Frequent words and signatures of rare ones, and what is learnt of train on its way to a checkpoint and back."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import TRAIN, marked

from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import FeatureVocab, TagVocab, Vocab, Vocabs, WordVocab
from ner_lab.models.features.words import Words


def sentence(text: str) -> Sentence:
    words = text.split()
    return Sentence(words, ["O"] * len(words))


def learnt(train_on: Sequence[str], *, frequent: int = 2, shared: int = 1) -> Words:
    features = Words(frequent=frequent, shared=shared)
    features.remember(features.learn([sentence(text) for text in train_on]))
    return features


def features_of(features: Words, text: str) -> list[list[str]]:
    return features.sparse(sentence(text))


def test_a_frequent_word_is_its_own_feature() -> None:
    features = learnt(["the ferry left", "the ferry came", "the boat left"], frequent=2)
    assert features_of(features, "ferry the left") == [["word=ferry"], ["word=the"], ["word=left"]]
    assert features_of(learnt(["the ferry left", "the ferry came"], frequent=3, shared=9), "the ferry") == [[], []]
    assert features_of(learnt(["the ferry"], frequent=1), "the ferry") == [["word=the"], ["word=ferry"]]


@pytest.mark.parametrize(
    ("train_on", "signature"),
    [
        ("Oslo met Anna Renna", " upperInitial -nna"),  # the last three letters are shared
        ("Oslo met Tina Lena", " upperInitial -na"),  # only the last two
        ("Oslo met Kari Per", " upperInitial"),  # only the shape
        ("oslo met kari per", None),
    ],
)
def test_a_rare_word_has_the_longest_signature_that_trains_rare_words_share(
    train_on: str, signature: str | None
) -> None:
    of_word = features_of(learnt([train_on], shared=1), "met Hanna")[1]
    assert of_word == ([f"word={signature}"] if signature else [])


def test_a_signature_needs_the_given_number_of_rare_words() -> None:
    train_on = ["x Anna Hanna", "x Tina Lena Mona", "x Kari"]
    expected = {1: " upperInitial -nna", 2: " upperInitial -nna", 3: " upperInitial -na", 6: " upperInitial"}
    for shared, signature in expected.items():
        assert features_of(learnt(train_on, shared=shared), "x Danna")[1] == [f"word={signature}"]
    assert features_of(learnt(train_on, shared=7), "x Danna")[1] == []


def test_only_rare_words_count_for_signatures() -> None:
    features = learnt(["x Anna Anna Anna x Hanna"], shared=2)
    assert features_of(features, "x Danna")[1] == []


@pytest.mark.parametrize(
    ("word", "marks"),
    [
        ("Oslo", "upperInitial"),
        ("oslo", "lowercase"),
        ("NATO", "allCaps"),
        ("McNeil", "mixedCaps"),
        ("1998", "noinfo digit"),
        ("10-2", "noinfo digit hyphen"),
        ("F-16", "upperInitial digit hyphen"),
        ("e-mail", "lowercase hyphen"),
        (",", "noinfo"),
    ],
)
def test_a_signature_has_capitals_digit_hyphen_and_position(word: str, marks: str) -> None:
    features = learnt([f"x {word}", f"{word}x x"], frequent=9)
    suffix = f" -{word[-3:].lower()}" if len(word) > 3 else ""
    assert features_of(features, f"x {word}")[1] == [f"word= {marks}{suffix}"]
    opening = learnt([f"{word} x"], frequent=9)
    assert features_of(opening, word) == [[f"word= {marks} first{suffix}"]]


def test_suffixes_are_in_lower_case_and_shorter_than_the_word() -> None:
    features = learnt(["x ABCD Kem am b"])
    assert features_of(features, "x XBCD")[1] == ["word= allCaps -bcd"]
    assert features_of(features, "x Lem")[1] == ["word= upperInitial -em"]
    assert features_of(features, "x an")[1] == ["word= lowercase"]


def test_no_word_equals_a_signature() -> None:
    features = learnt(["x lowercase lowercase noinfo noinfo", "x rain ,"])
    words = {name for of_word in features_of(features, "lowercase noinfo") for name in of_word}
    signatures = {name for of_word in features_of(features, "x snow ;")[1:] for name in of_word}
    assert words == {"word=lowercase", "word=noinfo"}
    assert signatures == {"word= lowercase", "word= noinfo"}


@given(st.lists(st.lists(st.sampled_from(["a", "Ab", "ab", "AB-1", "x9", "lowercase"]), min_size=1), min_size=1))
@settings(max_examples=50, deadline=None)
def test_each_word_has_one_feature_at_most_and_each_of_train_one_where_one_is_enough(rows: list[list[str]]) -> None:
    texts = [" ".join(row) for row in rows]
    features = learnt(texts, frequent=2, shared=1)
    counts = Counter(word for row in rows for word in row)
    for row, text in zip(rows, texts, strict=True):
        for word, names in zip(row, features_of(features, text), strict=True):
            (name,) = names
            assert (name == f"word={word}") == (counts[word] >= 2)
    assert all(len(names) <= 1 for names in features_of(features, "Zebra-7 zz ab"))


def test_before_learning_no_word_is_known() -> None:
    assert features_of(Words(frequent=1, shared=1), "Anna saw") == [[], []]


# what is learnt, kept


def test_what_is_learnt_survives_the_way_into_plain_data_and_back() -> None:
    features = Words(frequent=2, shared=2)
    found = features.learn([Sentence(one.words, one.tags()) for one in marked(TRAIN)])
    vocabs = Vocabs(WordVocab.of([]), Vocab.of([]), TagVocab.of(["PER"], "IOB2"), FeatureVocab({}, Vocab([]), found))
    back = Vocabs.from_plain(vocabs.to_plain()).features.learnt
    assert back == found
    again = Words(frequent=2, shared=2)
    features.remember(found)
    again.remember(back)
    text = "Anna Holm moved 1998 to Nordbank , Xenia fell"
    assert features_of(again, text) == features_of(features, text) != [[]] * 9
