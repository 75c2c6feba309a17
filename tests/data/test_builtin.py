"""The corpus inside the package: large enough, well-formed, and with names that train has not seen."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from hydra.utils import instantiate

from ner_lab.config.compose import compose_config
from ner_lab.data.corpora import locate, read_corpus
from ner_lab.data.sentence import SPLITS, Counts, Split
from ner_lab.data.tags import is_proper, spans_of

TYPES = {"LOC", "MISC", "ORG", "PER"}
PAIRS = [("train", "dev"), ("train", "test"), ("dev", "test")]


@pytest.fixture(scope="module")
def corpus() -> dict[str, Split]:
    options = instantiate(compose_config(["data=builtin"]).data)
    return read_corpus(options, locate(options))


def names(split: Split) -> Counter[str]:
    """How often each entity's name occurs, whatever its type and its capitals."""
    return Counter(
        " ".join(sentence.words[start:end]).lower()
        for sentence in split.sentences
        for _, start, end in spans_of(sentence.tags)
    )


def test_it_has_three_splits_of_a_useful_size(corpus: dict[str, Split]) -> None:
    assert tuple(corpus) == SPLITS
    sizes = {name: Counts.of(split.sentences).sentences for name, split in corpus.items()}
    assert sizes["train"] >= 700
    assert sizes["dev"] >= 150
    assert sizes["test"] >= 150


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_has_enough_of_each_type_and_no_other(corpus: dict[str, Split], name: str) -> None:
    per_type = Counts.of(corpus[name].sentences).per_type
    assert per_type.keys() == TYPES
    assert min(per_type.values()) >= 50


@pytest.mark.parametrize("name", SPLITS)
def test_every_sentence_has_words_with_proper_iob2_tags(corpus: dict[str, Split], name: str) -> None:
    assert corpus[name].scheme == "IOB2"
    for sentence in corpus[name].sentences:
        assert sentence.words
        assert all(sentence.words)
        assert len(sentence.tags) == len(sentence.words)
        assert is_proper(sentence.tags, "IOB2")
        assert not any(re.search(r"[\[\]\s]", word) for word in sentence.words)


@pytest.mark.parametrize("name", SPLITS)
def test_every_sentence_belongs_to_a_document_and_they_follow_one_another(corpus: dict[str, Split], name: str) -> None:
    documents = [sentence.document for sentence in corpus[name].sentences]
    assert documents[0] == 0
    assert all(after - before in (0, 1) for before, after in pairwise(documents))
    assert documents[-1] + 1 >= 20


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_sentence_stands_in_two_splits(corpus: dict[str, Split], one: str, other: str) -> None:
    texts = [{" ".join(sentence.words).lower() for sentence in corpus[name].sentences} for name in (one, other)]
    assert not texts[0] & texts[1]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_document_stands_in_two_splits(corpus: dict[str, Split], one: str, other: str) -> None:
    headers = []
    for name in (one, other):
        with open(corpus[name].path, encoding="utf-8") as lines:
            headers.append([line.partition("|")[0].strip() for line in lines if line.startswith("#")])
    assert not set(headers[0]) & set(headers[1])
    assert all(len(set(documents)) == len(documents) for documents in headers)


@pytest.mark.parametrize("name", ["dev", "test"])
def test_most_names_of_dev_and_test_do_not_occur_in_train(corpus: dict[str, Split], name: str) -> None:
    seen, there = names(corpus["train"]), names(corpus[name])
    assert sum(number for text, number in there.items() if text not in seen) / there.total() >= 0.75
    assert sum(text not in seen for text in there) / len(there) >= 0.75


@pytest.mark.parametrize("name", SPLITS)
def test_entities_of_one_type_touch_so_that_schemes_differ(corpus: dict[str, Split], name: str) -> None:
    touching = 0
    for sentence in corpus[name].sentences:
        spans = spans_of(sentence.tags)
        touching += sum(a.end == b.start and a.type == b.type for a, b in pairwise(spans))
    assert touching >= 5


@pytest.mark.parametrize("name", SPLITS)
def test_entities_are_of_one_word_and_of_several(corpus: dict[str, Split], name: str) -> None:
    lengths = Counter(end - start for sentence in corpus[name].sentences for _, start, end in spans_of(sentence.tags))
    assert lengths[1] / lengths.total() > 0.2
    assert sum(number for length, number in lengths.items() if length > 2) > 20
