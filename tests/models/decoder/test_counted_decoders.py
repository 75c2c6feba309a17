"""Models by counting, and scores that are only passed on: against products of relative frequencies by hand."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import Outcome
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


def whole(sentences: Sequence[Sequence[int]]) -> Tensor:
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
    mask = whole(sentences)
    loss = hmm().loss(no_states(mask), torch.tensor(tags), mask, direct_of(sentences))
    expected = [-math.log(joint(words, path)) for words, path in zip(sentences, tags, strict=True)]
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_a_worked_example_of_the_hmm() -> None:
    words, tags = [0, 1, 2], [0, 1, 2]
    by_hand = math.log((5.1 / 8.3) * (2.1 / 17.4) * (3.1 / 5.4) * (0.1 / 4.4))  # start, O B, B I, I end
    by_hand += math.log((12.1 / 17.3) * (4.1 / 5.3) * (3.1 / 4.3))
    mask = whole([words])
    loss = hmm().loss(no_states(mask), torch.tensor([tags]), mask, direct_of([words]))
    assert loss.item() == pytest.approx(-by_hand, rel=1e-6)


def test_all_words_and_tags_of_a_length_have_that_lengths_probability() -> None:
    decoder = hmm()
    step = torch.tensor([[share(row, after) for after in range(4)] for row in FOLLOWING], dtype=torch.double)
    state = torch.tensor([share(START, tag) for tag in range(3)], dtype=torch.double)
    for length in range(1, 5):
        words = [list(found) for found in product(range(len(WORDS)), repeat=length)]
        mask, direct = whole(words), direct_of(words)
        total = 0.0
        for path in product(range(len(TAGS)), repeat=length):
            loss = decoder.loss(no_states(mask), torch.tensor([path] * len(words)), mask, direct)
            total += loss.detach().double().neg().exp().sum().item()
        assert total == pytest.approx(float(state @ step[:, 3]), rel=1e-5)
        state = state @ step[:, :3]


def test_the_probabilities_of_all_lengths_sum_to_one() -> None:
    decoder = hmm()
    step, state = decoder.following().detach().double().exp(), decoder.start().detach().double().exp()
    total = 0.0
    for _ in range(300):
        total += float(state @ step[:, -1])
        state = state @ step[:, :-1]
    assert total == pytest.approx(1, abs=1e-6)


@given(sentences=SENTENCES)
@settings(max_examples=40, deadline=None)
def test_the_hmms_best_tags_are_those_of_enumeration(sentences: list[list[int]]) -> None:
    mask = whole(sentences)
    found = hmm().decode(no_states(mask), mask, direct_of(sentences)).tolist()
    for words, path in zip(sentences, found, strict=True):
        best = max(joint(words, tags) for tags in product(range(len(TAGS)), repeat=len(words)))
        assert joint(words, path) == pytest.approx(best, rel=1e-6)


def test_the_end_of_a_sentence_decides_over_its_last_tag() -> None:
    decoder = hmm()
    with torch.no_grad():
        decoder.start.counts.fill_(1.0)
        decoder.following.counts.copy_(torch.tensor([[4.0, 4.0, 4.0, 0.0], [4.0, 4.0, 4.0, 9.0], [4.0, 4.0, 4.0, 0.0]]))
    mask = whole([[0, 0]])
    alike = torch.full((1, 2, 3), -1.0)
    assert decoder.decode(no_states(mask), mask, alike)[0, 1] == 1


def test_a_word_without_features_leaves_the_tags_to_their_neighbours() -> None:
    mask = whole([[0, 0, 0]])
    best = hmm().decode(no_states(mask), mask, torch.zeros(1, 3, 3))[0].tolist()
    step = [[share(row, after) for after in range(4)] for row in FOLLOWING]
    expected = max(
        product(range(3), repeat=3),
        key=lambda path: share(START, path[0]) * step[path[0]][path[1]] * step[path[1]][path[2]] * step[path[2]][3],
    )
    assert best == list(expected)


# naive Bayes


@given(sentences=SENTENCES, data=st.data())
@settings(max_examples=30, deadline=None)
def test_naive_bayes_takes_each_token_on_its_own(sentences: list[list[int]], data: st.DataObject) -> None:
    mask, direct, decoder = whole(sentences), direct_of(sentences), naive_bayes()
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


def test_a_worked_example_of_naive_bayes_with_two_features() -> None:
    scores = CountedScores(["word=a", "word=b", "caps=yes", "caps=no"], 2, 1.0)
    with torch.no_grad():
        scores.counts.copy_(torch.tensor([[3.0, 0.0], [1.0, 2.0], [1.0, 1.0], [3.0, 1.0]]))
    decoder = NaiveBayes(input_dim=0, tags=["O", "I-PER"], scheme="IO", smoothing=1.0)
    with torch.no_grad():
        decoder.prior.counts.copy_(torch.tensor([4.0, 2.0]))
    direct = scores(torch.tensor([1, 2]), torch.tensor([0]))[None]  # one token: b, with a capital
    outside, inside = (5 / 8) * (2 / 6) * (2 / 6), (3 / 8) * (3 / 4) * (2 / 4)
    mask = whole([[0]])
    assert inside > outside
    assert decoder.decode(no_states(mask), mask, direct).tolist() == [[1]]
    for tag, expected in enumerate((outside, inside)):
        loss = decoder.loss(no_states(mask), torch.tensor([[tag]]), mask, direct)
        assert loss.item() == pytest.approx(-math.log(expected), rel=1e-6)


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
    mask = whole([[0, 0]])
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


@pytest.mark.parametrize("kind", BUILD)
def test_padding_and_its_scores_and_tags_change_nothing(kind: str) -> None:
    decoder: Decoder = BUILD[kind]()
    sentences, lengths = [[0, 1, 2, 0], [2, 1, 0, 0], [1, 0, 0, 0]], [4, 2, 1]
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    direct, tags = direct_of(sentences), torch.tensor([[0, 1, 2, 0], [1, 2, 0, 0], [0, 0, 0, 0]])
    usual = decoder.loss(no_states(mask), tags, mask, direct), decoder.decode(no_states(mask), mask, direct)
    for scores, labels in ((0.0, 1), (-1e4, 2)):
        filled = direct.masked_fill(~mask[:, :, None], scores)
        other = tags.masked_fill(~mask, labels)
        assert torch.equal(decoder.loss(no_states(mask), other, mask, filled), usual[0])
        assert torch.equal(decoder.decode(no_states(mask), mask, filled), usual[1])
    for row, length in enumerate(lengths):
        one, of_one = slice(row, row + 1), mask[row : row + 1, :length]
        alone = direct[one, :length]
        loss = decoder.loss(no_states(of_one), tags[one, :length], of_one, alone)
        torch.testing.assert_close(loss, usual[0][one])
        best = decoder.decode(no_states(of_one), of_one, alone)[0].tolist()
        assert usual[1][row].tolist() == best + [0] * (4 - length)


@pytest.mark.parametrize("kind", ["hmm", "naive_bayes"])
def test_padding_is_not_counted(kind: str) -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    tags = torch.tensor([[1, 2, 1], [0, 2, 2]])
    decoder = BUILD[kind]()
    decoder.loss(no_states(mask), tags, mask, direct_of([[0, 1, 2], [1, 1, 1]])).sum().backward()
    if kind == "naive_bayes":
        assert decoder.prior.counts.grad.tolist() == [-1, -1, -1]
    else:
        assert decoder.start.counts.grad.tolist() == [-1, -1, 0]
        assert decoder.following.counts.grad.tolist() == [[0, 0, 0, -1], [0, 0, -1, 0], [0, 0, 0, -1]]


@pytest.mark.parametrize("kind", ["hmm", "naive_bayes"])
@pytest.mark.parametrize("direct", [None, torch.tensor([[[-1.0, 0.5, -2.0]]])], ids=["none", "positive"])
def test_what_are_no_log_probabilities_is_refused(kind: str, direct: Tensor | None) -> None:
    decoder, mask = BUILD[kind](), whole([[0]])
    said = rf"decoder={kind} needs log p\(word \| tag\).* Give features=words, or features\.wiring=counts"
    with pytest.raises(UserError, match=said):
        decoder.loss(no_states(mask), torch.zeros(1, 1, dtype=torch.long), mask, direct)
    with pytest.raises(UserError, match=said):
        decoder.decode(no_states(mask), mask, direct)


def test_direct_without_scores_is_refused() -> None:
    decoder, mask = BUILD["direct"](), whole([[0]])
    with pytest.raises(UserError, match=r"decoder=direct has no scores to go by\. Give features=known_entities\."):
        decoder.loss(no_states(mask), torch.zeros(1, 1, dtype=torch.long), mask, None)
    with pytest.raises(UserError, match="decoder=direct has no scores to go by"):
        decoder.decode(no_states(mask), mask, None)


@pytest.mark.parametrize("kind", ["hmm", "naive_bayes"])
def test_numbers_that_are_no_counts_are_refused_when_tagging(kind: str) -> None:
    decoder, mask = BUILD[kind](), whole([[0]])
    table = decoder.following if kind == "hmm" else decoder.prior
    with torch.no_grad():
        table.counts += 0.01
    with pytest.raises(UserError, match=f"decoder={kind} holds numbers that are no counts"):
        decoder.decode(no_states(mask), mask, direct_of([[0]]))


@pytest.mark.parametrize("build", [hmm, naive_bayes])
@pytest.mark.parametrize("smoothing", [0.0, -1.0])
def test_smoothing_that_leaves_counts_at_zero_is_refused(build: Callable[..., Decoder], smoothing: float) -> None:
    with pytest.raises(UserError, match=rf"decoder\.smoothing is {smoothing}\. It must be above 0"):
        build(smoothing=smoothing)


# as a person meets them


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            ["decoder=hmm", "features=words", "optimizer=adam"],
            "optimizer has lr=0.003, clip=norm, loss=sentence_mean, and this decoder is trained by counting, a step of "
            "1 for each event. Set optimizer=sgd_counts.",
        ),
        (
            ["decoder=hmm", "features=caps", "optimizer=sgd_counts"],
            "decoder=hmm needs log p(word | tag), which a feature set gives by counting. "
            "Give features=words, or features.wiring=counts with another set of sparse features.",
        ),
        (["decoder=direct", "features=caps"], "decoder=direct has no scores to go by. Give features=known_entities."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_choice_that_does_not_fit_is_answered_with_the_next_step(
    choices: list[str], said: str, small: list[str], tmp_path: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli("train", *small, *choices, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 2, outcome.said
    assert "Traceback" not in outcome.said
    assert f"error: {said}" in outcome.said
