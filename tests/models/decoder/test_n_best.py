"""The n best paths against enumeration of all of them."""

from collections.abc import Sequence
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ner_lab.data.tags import is_proper
from ner_lab.models.decoder.chain.linear_chain import LinearChainCRF
from ner_lab.models.decoder.chain.n_best import n_best
from ner_lab.models.decoder.crf import CRF
from ner_lab.models.decoder.pairwise_crf import PairwiseCRF

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths: Sequence[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def all_paths(emissions: Tensor, start: Tensor, moves: Tensor, end: Tensor) -> list[tuple[float, list[int]]]:
    """emissions (time, tags), moves (time, from, to) -> every path with its score, the best first."""
    time, num_tags = emissions.shape
    found = []
    for path in product(range(num_tags), repeat=time):
        score = float(start[path[0]] + end[path[-1]]) + sum(
            float(emissions[step, tag]) for step, tag in enumerate(path)
        )
        score += sum(float(moves[step, path[step - 1], path[step]]) for step in range(1, time))
        found.append((score, list(path)))
    return sorted(found, reverse=True)


@given(
    num_tags=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    n=st.integers(1, 12),
    varying=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=30, deadline=None)
def test_the_n_best_of_all_paths_come_in_order_and_the_missing_are_marked(
    num_tags: int, lengths: list[int], n: int, varying: bool, seed: int
) -> None:
    batch, time = len(lengths), max(lengths)
    emissions, start, end = normal(batch, time, num_tags, seed=seed), normal(num_tags, seed=1), normal(num_tags, seed=2)
    shape = (batch, time, num_tags, num_tags) if varying else (num_tags, num_tags)
    transitions = normal(*shape, seed=seed + 3)
    tags, scores = n_best(emissions, mask_of(lengths), start, transitions, end, n)
    assert tags.shape == (batch, n, time)
    for row, length in enumerate(lengths):
        moves = transitions[row] if varying else transitions.expand(time, -1, -1)
        expected = all_paths(emissions[row, :length], start, moves, end)[:n]
        present = len(expected)
        assert tags[row, :present].tolist() == [path + [0] * (time - length) for _, path in expected]
        assert scores[row, :present].tolist() == pytest.approx([score for score, _ in expected], abs=1e-5)
        assert (scores[row, present:] == -torch.inf).all()
        assert not tags[row, present:].any()


def test_paths_of_equal_scores_all_come_once() -> None:
    nothing = torch.zeros(3)
    paths, scores = n_best(torch.zeros(1, 3, 3), mask_of([3]), nothing, torch.zeros(3, 3), nothing, 30)
    assert sorted(map(tuple, paths[0, :27].tolist())) == list(product(range(3), repeat=3))
    assert not scores[0, :27].any()
    assert (scores[0, 27:] == -torch.inf).all()


def test_forbidden_paths_are_not_among_the_n_best() -> None:
    allowed = [[True, False, True], [True, True, True], [True, False, True]]  # tag 1 behind tag 1 alone
    crf = LinearChainCRF(2, allowed)
    paths, scores = crf.n_best(torch.zeros(1, 3, 2), None, 5, constrained=True)
    assert paths[0, 0].tolist() == [0, 0, 0]
    assert scores[0].tolist() == [0.0] + [-torch.inf] * 4
    assert crf.n_best(torch.zeros(1, 3, 2), None, 5)[1].isfinite().all()


def test_less_than_one_path_is_refused() -> None:
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        LinearChainCRF(2).n_best(torch.zeros(1, 3, 2), None, 0)


def crf_of(kind: str, constraints: str) -> CRF | PairwiseCRF:
    common = {"input_dim": 4, "tags": TAGS, "scheme": "IOB2", "hidden_dim": 0, "constraints": constraints}
    if kind == "plain":
        crf: CRF | PairwiseCRF = CRF(**common, output="linear", stop_score=True)
    else:
        crf = PairwiseCRF(**common, padding_label_in_sum=kind == "pairs and padding label")
    with torch.no_grad():
        for number, parameter in enumerate(crf.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=number))
    return crf


@pytest.mark.parametrize("constraints", ["none", "decode", "always"])
@pytest.mark.parametrize("kind", ["plain", "pairs", "pairs and padding label"])
def test_a_decoders_n_best_are_sequences_at_their_own_log_probability(kind: str, constraints: str) -> None:
    crf = crf_of(kind, constraints)
    hidden, direct, mask = normal(2, 3, 4, seed=7), normal(2, 3, 4, seed=8), mask_of([3, 2])
    paths, scores = crf.n_best(hidden, mask, 60, direct)
    assert torch.equal(paths[:, 0], crf.decode(hidden, mask, direct))
    for row, length in enumerate([3, 2]):
        sequences = [list(path) for path in product(range(4), repeat=length)]
        if constraints != "none":
            sequences = [path for path in sequences if is_proper([TAGS[tag] for tag in path], "IOB2")]
        many = len(sequences)
        own = hidden[row : row + 1, :length].expand(many, -1, -1), direct[row : row + 1, :length].expand(many, -1, -1)
        real = torch.ones(many, length, dtype=torch.bool)
        losses = crf.loss(own[0], torch.tensor(sequences), real, own[1])
        order = losses.argsort()[:60]
        present = len(order)
        assert paths[row, :present, :length].tolist() == [sequences[number] for number in order]
        torch.testing.assert_close(scores[row, :present], -losses[order].detach(), rtol=0, atol=2e-5)
        assert (scores[row, present:] == -torch.inf).all()
