"""N-grams around a word against a plain reading of their definition, and at the borders by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.config.compose import compose_config
from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.models.build import feature_set_of
from ner_lab.models.features.context import Context

NGRAMS = {
    "word": [[-2], [-1], [0], [1], [2], [-1, 0]],
    "pos": [[0], [-1, 0, 1]],
    "chunk": [[1, 2]],
}
PLACES = st.lists(st.integers(-4, 4), min_size=1, max_size=4)


def sentence(words: str, **columns: str) -> Sentence:
    found = words.split()
    return Sentence(found, ["O"] * len(found), {name: values.split() for name, values in columns.items()})


def context(words: str, ngrams: Mapping[str, Sequence[Sequence[int]]], **columns: str) -> list[list[str]]:
    return Context(ngrams=ngrams, lowercase=False).sparse(sentence(words, **columns))


def value_at(values: Sequence[str], place: int) -> str:
    if place < 0:
        return "<s>"
    return values[place] if place < len(values) else "</s>"


def by_definition(of: Sentence, ngrams: Mapping[str, Sequence[Sequence[int]]], lowercase: bool) -> list[list[str]]:
    """One word, one n-gram at a time."""
    found: list[list[str]] = []
    for here in range(len(of.words)):
        names = []
        for column, listed in ngrams.items():
            if column != "word" and column not in of.columns:
                continue
            values = of.words if column == "word" else of.columns[column]
            if column == "word" and lowercase:
                values = [word.lower() for word in values]
            for places in listed:
                if all(not 0 <= here + place < len(values) for place in places):
                    continue
                name = "+".join(str(place) for place in places)
                names.append(f"{column}:{name}=" + "\t".join(value_at(values, here + place) for place in places))
        found.append(names)
    return found


@given(
    words=st.lists(st.sampled_from(["The", "the", "KING", "of", "A=b", "\t"]), min_size=1, max_size=6),
    word_ngrams=st.lists(PLACES, max_size=4, unique_by=tuple),
    pos_ngrams=st.lists(PLACES, max_size=3, unique_by=tuple),
    lowercase=st.booleans(),
)
@settings(max_examples=70, deadline=None)
def test_n_grams_are_those_of_the_definition(
    words: list[str], word_ngrams: list[list[int]], pos_ngrams: list[list[int]], lowercase: bool
) -> None:
    columns = {"pos": [f"P{len(word)}" for word in words]}
    of = Sentence(words, ["O"] * len(words), columns)
    ngrams = {"word": word_ngrams, "pos": pos_ngrams, "absent": [[0]]}
    assert Context(ngrams=ngrams, lowercase=lowercase).sparse(of) == by_definition(of, ngrams, lowercase)


def test_a_sentence_by_hand() -> None:
    assert context("Anna saw Oslo", {"word": [[-1], [0], [-1, 0]], "pos": [[0, 1]]}, pos="N V N") == [
        ["word:0=Anna", "word:-1+0=<s>\tAnna", "pos:0+1=N\tV"],
        ["word:-1=Anna", "word:0=saw", "word:-1+0=Anna\tsaw", "pos:0+1=V\tN"],
        ["word:-1=saw", "word:0=Oslo", "word:-1+0=saw\tOslo", "pos:0+1=N\t</s>"],
    ]


def test_every_n_gram_of_every_column_has_its_own_template() -> None:
    several = [[1], [10], [1, 0], [10, 0], [-1], [-1, 0], [0, -1], [1, -1], [11], [0, 1, 0]]
    ngrams = {"word": several, "word1": several, "word-": several, "word:1": several, "word-1+": several}
    values = " ".join(["x"] * 30)
    (names,) = Context(ngrams=ngrams, lowercase=False).sparse(
        sentence(values, **{column: values for column in ngrams if column != "word"})
    )[15:16]
    templates = [name.partition("=")[0] for name in names]
    assert len(set(templates)) == len(templates) == len(several) * len(ngrams)


def test_an_n_gram_listed_twice_is_one_feature() -> None:
    assert context("a b", {"word": [[0], [0, 1], [0]]}) == context("a b", {"word": [[0], [0, 1]]})


def test_it_reads_the_columns_that_it_has_n_grams_of() -> None:
    assert Context(ngrams=NGRAMS, lowercase=False).reads == ("pos", "chunk")
    assert Context(ngrams={"word": [[0]], "pos": [], "chunk": [[0]]}, lowercase=False).reads == ("chunk",)


@pytest.mark.parametrize("bad", [[[]], [["x"]], [[0.5]], [[0], [None]], [0], [1, 2], None, 3, "word", [[0], "-1"]])
def test_a_value_that_is_not_an_n_gram_is_refused_with_its_column(bad: Any) -> None:
    with pytest.raises(UserError, match=r"ngrams\.pos must be .* ngrams\.pos=\[\[0\],\[-1,0\]\]; got"):
        Context(ngrams={"word": [[0]], "pos": bad}, lowercase=False)


def test_the_papers_n_grams_are_uni_and_bigrams_of_words_and_up_to_trigrams_of_tags() -> None:
    features = feature_set_of(compose_config(["features=context"]))
    assert isinstance(features, Context)
    sizes = {column: {len(places) for places in listed} for column, listed in features.ngrams.items()}
    assert sizes == {"word": {1, 2}, "pos": {1, 2, 3}, "chunk": {1, 2, 3}}  # section 4.2.2
