"""Models by counting, and scores that are only passed on: against products of relative frequencies by hand."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ner_lab.errors import UserError
from ner_lab.models.decoder.feature_scores import Direct
from ner_lab.models.decoder.hmm import HMM
from ner_lab.models.decoder.naive_bayes import NaiveBayes
from ner_lab.models.layers.counts import CountedScores

TAGS = ["O", "B-PER", "I-PER"]
SMOOTHING = 0.1
START = [5.0, 3.0, 0.0]
FOLLOWING = [[9.0, 2.0, 0.0, 6.0], [1.0, 0.0, 3.0, 1.0], [2.0, 1.0, 1.0, 0.0]]  # the last column: the end
PRIOR = [17.0, 5.0, 4.0]
WORDS = ["word=a", "word=b", "word=c"]
WORD_COUNTS = [[12.0, 0.0, 1.0], [3.0, 4.0, 0.0], [2.0, 1.0, 3.0]]  # (words, tags)
Decoder = HMM | NaiveBayes | Direct


def hmm(tags: Sequence[str] = TAGS, smoothing: float = SMOOTHING) -> HMM:
    decoder = HMM(input_dim=0, tags=tags, scheme="IOB2", smoothing=smoothing)
    with torch.no_grad():
        decoder.start.counts.copy_(torch.tensor(START))
        decoder.following.counts.copy_(torch.tensor(FOLLOWING))
    return decoder


def naive_bayes(smoothing: float = SMOOTHING) -> NaiveBayes:
    decoder = NaiveBayes(input_dim=0, tags=TAGS, scheme="IOB2", smoothing=smoothing)
    with torch.no_grad():
        decoder.prior.counts.copy_(torch.tensor(PRIOR))
    return decoder


def word_scores() -> CountedScores:
    scores = CountedScores(WORDS, len(TAGS), SMOOTHING)
    with torch.no_grad():
        scores.counts.copy_(torch.tensor(WORD_COUNTS))
    return scores


def direct_of(sentences: Sequence[Sequence[int]]) -> Tensor:
    """log p(word | tag) for sentences of numbers of words, all of one length -> (batch, time, tags)."""
    words = torch.tensor(sentences)
    scores = word_scores()(words.flatten(), torch.arange(words.numel())).detach()
    return scores.view(*words.shape, len(TAGS))


def no_padding(sentences: Sequence[Sequence[int]]) -> Tensor:
    return torch.ones(len(sentences), len(sentences[0]), dtype=torch.bool)


def no_states(mask: Tensor) -> Tensor:
    return torch.zeros(*mask.shape, 0)


def share(counts: Sequence[float], which: int, smoothing: float = SMOOTHING) -> float:
    """A smoothed relative frequency."""
    return (counts[which] + smoothing) / (sum(counts) + smoothing * len(counts))


def emitted(tag: int, word: int) -> float:
    return share([row[tag] for row in WORD_COUNTS], word)


def joint(words: Sequence[int], tags: Sequence[int]) -> float:
    """p(words, tags), one factor after another."""
    probability = share(START, tags[0])
    for here, after in zip(tags, [*tags[1:], len(TAGS)], strict=True):
        probability *= share(FOLLOWING[here], after)
    for tag, word in zip(tags, words, strict=True):
        probability *= emitted(tag, word)
    return probability


# the hidden Markov model


SENTENCES = st.integers(1, 4).flatmap(
    lambda length: st.lists(st.lists(st.integers(0, 2), min_size=length, max_size=length), min_size=1, max_size=3)
)


@given(sentences=SENTENCES, data=st.data())
@settings(max_examples=40, deadline=None)
def test_the_hmms_loss_is_the_product_of_smoothed_relative_frequencies(
    sentences: list[list[int]], data: st.DataObject
) -> None:
    tags = [[data.draw(st.integers(0, 2)) for _ in words] for words in sentences]
    mask = no_padding(sentences)
    loss = hmm().loss(no_states(mask), torch.tensor(tags), mask, direct_of(sentences))
    expected = [-math.log(joint(words, path)) for words, path in zip(sentences, tags, strict=True)]
    torch.testing.assert_close(loss, torch.tensor(expected))


@given(sentences=SENTENCES)
@settings(max_examples=40, deadline=None)
def test_the_hmms_best_tags_are_those_of_enumeration(sentences: list[list[int]]) -> None:
    mask = no_padding(sentences)
    found = hmm().decode(no_states(mask), mask, direct_of(sentences)).tolist()
    for words, path in zip(sentences, found, strict=True):
        best = max(joint(words, tags) for tags in product(range(len(TAGS)), repeat=len(words)))
        assert joint(words, path) == pytest.approx(best, rel=1e-6)


# naive Bayes


@given(sentences=SENTENCES, data=st.data())
@settings(max_examples=30, deadline=None)
def test_naive_bayes_scores_each_token_independently(sentences: list[list[int]], data: st.DataObject) -> None:
    mask, direct, decoder = no_padding(sentences), direct_of(sentences), naive_bayes()
    tags = [[data.draw(st.integers(0, 2)) for _ in words] for words in sentences]
    scores = {
        (tag, word): math.log(share(PRIOR, tag) * emitted(tag, word)) for tag in range(3) for word in range(len(WORDS))
    }
    expected = [
        -sum(scores[tag, word] for tag, word in zip(path, words, strict=True))
        for path, words in zip(tags, sentences, strict=True)
    ]
    torch.testing.assert_close(decoder.loss(no_states(mask), torch.tensor(tags), mask, direct), torch.tensor(expected))
    best = [[max(range(3), key=lambda tag: scores[tag, word]) for word in words] for words in sentences]
    assert decoder.decode(no_states(mask), mask, direct).tolist() == best


# scores passed on


def test_direct_gives_each_token_the_tag_with_the_best_score() -> None:
    decoder = Direct(input_dim=4, tags=TAGS, scheme="IOB2")
    assert not list(decoder.parameters())
    direct = torch.tensor(
        [[[0.0, 2.0, 1.0], [0.0, 0.0, 0.5], [1.0, 1.0, 1.0]], [[0.0, 0.0, 0.1], [9.0, 0, 0], [0, 9.0, 0]]]
    )
    mask = torch.tensor([[True, True, True], [True, False, False]])
    for hidden in (torch.randn(2, 3, 4), no_states(mask)):
        assert decoder.decode(hidden, mask, direct).tolist() == [[1, 2, 0], [2, 0, 0]], "the first of equals"


def test_directs_loss_is_that_of_a_softmax_over_the_scores() -> None:
    direct = torch.tensor([[[0.0, 2.0, 1.0], [0.5, 0.0, 0.0]]])
    mask = no_padding([[0, 0]])
    loss = Direct(input_dim=0, tags=TAGS, scheme="IOB2").loss(no_states(mask), torch.tensor([[1, 0]]), mask, direct)
    first = math.exp(2) / (1 + math.exp(2) + math.exp(1))
    second = math.exp(0.5) / (math.exp(0.5) + 2)
    assert loss.item() == pytest.approx(-math.log(first * second), rel=1e-6)


# all of them


BUILD: dict[str, Callable[[], Any]] = {
    "hmm": hmm,
    "naive_bayes": naive_bayes,
    "direct": lambda: Direct(input_dim=0, tags=TAGS, scheme="IOB2"),
}


@pytest.mark.parametrize("kind", ["hmm", "naive_bayes"])
@pytest.mark.parametrize("direct", [None, torch.tensor([[[-1.0, 0.5, -2.0]]])], ids=["none", "positive"])
def test_scores_that_are_not_log_probabilities_are_refused(kind: str, direct: Tensor | None) -> None:
    decoder, mask = BUILD[kind](), no_padding([[0]])
    message = rf"decoder={kind} needs log p\(word \| tag\).*Use features=words, or features\.wiring=counts"
    with pytest.raises(UserError, match=message):
        decoder.loss(no_states(mask), torch.zeros(1, 1, dtype=torch.long), mask, direct)
    with pytest.raises(UserError, match=message):
        decoder.decode(no_states(mask), mask, direct)


def test_direct_without_scores_is_refused() -> None:
    decoder, mask = BUILD["direct"](), no_padding([[0]])
    with pytest.raises(UserError, match=r"decoder=direct needs .*Use features=known_entities\."):
        decoder.loss(no_states(mask), torch.zeros(1, 1, dtype=torch.long), mask, None)
    with pytest.raises(UserError, match="decoder=direct needs"):
        decoder.decode(no_states(mask), mask, None)


@pytest.mark.parametrize("kind", ["hmm", "naive_bayes"])
def test_numbers_that_are_no_counts_are_refused_when_tagging(kind: str) -> None:
    decoder, mask = BUILD[kind](), no_padding([[0]])
    table = decoder.following if kind == "hmm" else decoder.prior
    with torch.no_grad():
        table.counts += 0.01
    with pytest.raises(UserError, match=f"decoder={kind} must be trained by counting"):
        decoder.decode(no_states(mask), mask, direct_of([[0]]))
