"""Vocabularies: digits, look-up order, own words before those of the file, tags of each scheme, plain data."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.tags import SCHEMES, convert
from ner_lab.data.vocab import (
    LOOKUP_STEPS,
    PAD,
    UNK,
    FeatureVocab,
    TagVocab,
    Vocab,
    Vocabs,
    WordVocab,
    check_lookup,
    normalise_digits,
)
from ner_lab.errors import UserError

WORDS = ["Rome", "rome", "ROME", "1996", "2026", "0000", "0", "A-31", "a-31", "a-00", "a-0", "A-0", "7th", "0th"]


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("keep", ["1996-08-22", "B52s", "no", "٣", "1,000.5"]),
        ("zero", ["0000-00-00", "B00s", "no", "٣", "0,000.0"]),
        ("zero_run", ["0-0-0", "B0s", "no", "٣", "0,0.0"]),
    ],
)
def test_digits_are_kept_or_zeroed_one_by_one_or_in_runs(digits: str, expected: list[str]) -> None:
    assert [normalise_digits(word, digits) for word in ["1996-08-22", "B52s", "no", "٣", "1,000.5"]] == expected


def test_an_unknown_way_with_digits_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"data\.digits must be one of keep, zero, zero_run; got 'none'"):
        normalise_digits("1", "none")


@pytest.mark.parametrize(
    ("step", "form"),
    [("exact", "AT-102b"), ("lower", "at-102b"), ("lower_zero_digits", "at-000b"), ("lower_zero_runs", "at-0b")],
)
def test_each_lookup_step_makes_its_form_of_a_word(step: str, form: str) -> None:
    assert LOOKUP_STEPS[step]("AT-102b") == form


def test_an_unknown_lookup_step_is_an_error_that_lists_the_known_ones() -> None:
    assert check_lookup(["lower", "exact"]) == ("lower", "exact")
    with pytest.raises(UserError, match=r"'upper' is not a look-up step; use one of exact, lower, lower_zero_digits"):
        check_lookup(["exact", "upper"])


def test_items_are_numbered_behind_padding_and_the_unknown_item() -> None:
    vocab = Vocab.of(["b", "a"])
    assert [vocab["b"], vocab["a"], vocab["c"]] == [2, 3, UNK]
    assert len(vocab) == 4
    assert vocab.items[vocab["a"]] == "a"


@pytest.mark.parametrize("word", ["<pad>", "<unk>"])
def test_a_word_spelt_like_padding_or_the_unknown_item_is_a_word_like_any_other(word: str) -> None:
    assert WordVocab.of(["of"]).find(word) == UNK
    assert WordVocab.of(["of", word]).find(word) == 3
    assert WordVocab([*WordVocab.of(["of"]).items], known=[word], lookup=("exact",)).find(word) == 3


def test_a_word_of_train_has_its_own_number_whatever_the_file_knows() -> None:
    vocab = WordVocab(["", "", "Rome", "rome"], known=["ROME", "rome", "Rome"], lookup=("lower", "exact"))
    assert vocab.find("Rome") == 2
    assert vocab.find("rome") == 3
    assert vocab.find("ROME") == 5  # the file's rome, not train's


def test_lookup_steps_are_tried_in_their_order() -> None:
    known = ["A-31", "a-31", "a-00", "a-0"]
    for lookup, form in [
        (("exact", "lower"), "A-31"),
        (("lower", "exact"), "a-31"),
        (("lower_zero_digits", "exact"), "a-00"),
        (("lower_zero_runs", "lower_zero_digits"), "a-0"),
    ]:
        vocab = WordVocab(["", ""], known=known, lookup=lookup)
        assert vocab.find("A-31") == 2 + known.index(form)


@settings(max_examples=80, deadline=None)
@given(
    train=st.lists(st.sampled_from(WORDS), unique=True),
    known=st.lists(st.sampled_from(WORDS), unique=True),
    lookup=st.lists(st.sampled_from(list(LOOKUP_STEPS)), unique=True),
    lowercase=st.booleans(),
)
def test_a_word_is_found_as_its_own_then_as_the_first_form_known_then_not_at_all(
    train: list[str], known: list[str], lookup: list[str], lowercase: bool
) -> None:
    own = list(dict.fromkeys(word.lower() if lowercase else word for word in train))
    vocab = WordVocab(WordVocab.of(own).items, known, lowercase, tuple(lookup))
    for word in WORDS:
        key = word.lower() if lowercase else word
        low = key.lower()
        forms = {"exact": key, "lower": low}
        forms["lower_zero_digits"] = re.sub("[0-9]", "0", low)
        forms["lower_zero_runs"] = re.sub("[0-9]+", "0", low)
        expected = UNK
        if key in own:
            expected = 2 + own.index(key)
        elif hits := [forms[step] for step in lookup if forms[step] in known]:
            expected = 2 + len(own) + known.index(hits[0])
        assert vocab.find(word) == expected


@pytest.mark.parametrize(
    ("scheme", "letters"), [("IO", "I"), ("IOB1", "BI"), ("IOB2", "BI"), ("IOBES", "BIES"), ("BILOU", "BILU")]
)
def test_the_tags_of_a_scheme_are_all_its_letters_for_every_type_behind_o(scheme: str, letters: str) -> None:
    vocab = TagVocab.of(["PER", "LOC", "PER"], scheme)
    assert vocab.items[0] == "O"
    assert vocab.ids == {tag: number for number, tag in enumerate(vocab.items)}
    assert set(vocab.items[1:]) == {f"{letter}-{kind}" for letter in letters for kind in ("LOC", "PER")}
    assert len(vocab) == 1 + 2 * len(letters)
    assert vocab.entity_types == ["LOC", "PER"]


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=30, deadline=None)
@given(tags=st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12))
def test_no_entities_of_known_types_need_a_tag_beyond_the_vocabulary(scheme: str, tags: list[str]) -> None:
    assert set(convert(tags, scheme)) <= set(TagVocab.of(["PER", "LOC"], scheme).items)


def test_an_unknown_scheme_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'BMES' is not a tag scheme; use one of IO, IOB1, IOB2, IOBES, BILOU"):
        TagVocab.of(["PER"], "BMES")


FULL = Vocabs(
    words=WordVocab(["<pad>", "<unk>", "oslo", "østfold"], ["bergen", "0"], True, ("exact", "lower_zero_runs")),
    chars=Vocab.of("abø"),
    tags=TagVocab.of(["PER", "LOC"], "BILOU"),
    features=FeatureVocab({"caps": Vocab.of(["allCaps", "noinfo"]), "pos": Vocab.of(["NN"])}, Vocab(["w=a", "w=b"])),
    vector_dim=50,
)
BARE = Vocabs(WordVocab.of([]), Vocab.of([]), TagVocab.of(["PER"], "IOB2"), FeatureVocab())


@pytest.mark.parametrize("vocabs", [FULL, BARE], ids=["full", "bare"])
def test_vocabularies_become_plain_data_and_again_themselves(vocabs: Vocabs, tmp_path: Path) -> None:
    assert Vocabs.from_plain(vocabs.to_plain()) == vocabs
    torch.save(vocabs.to_plain(), tmp_path / "vocabs.pt")
    again = Vocabs.from_plain(torch.load(tmp_path / "vocabs.pt", weights_only=True))
    assert again == vocabs
    for word in ["Oslo", "ØSTFOLD", "bergen", "31", "<pad>"]:
        assert again.words.find(word) == vocabs.words.find(word)
    assert PAD not in {again.words.find(word) for word in ["Oslo", "31", "", "<pad>"]}
