"""The best path against enumeration of all paths, with the same transitions at each step and with other ones."""

from collections.abc import Sequence
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ner_lab.models.decoder.chain.viterbi import viterbi


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths: Sequence[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def best_by_enumeration(emissions: Tensor, start: Tensor, moves: Tensor, end: Tensor) -> tuple[list[int], float]:
    """emissions (time, tags), start and end (tags,), moves (time, from, to) -> the best path and its score."""
    time, num_tags = emissions.shape
    at_start, emitted, moved, at_end = (scores.tolist() for scores in (start, emissions, moves, end))

    def score(path: Sequence[int]) -> float:
        total = at_start[path[0]] + emitted[0][path[0]] + at_end[path[-1]]
        return total + sum(
            emitted[step][path[step]] + moved[step][path[step - 1]][path[step]] for step in range(1, time)
        )

    best = max(product(range(num_tags), repeat=time), key=score)
    return list(best), score(best)


@given(
    num_tags=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    varying=st.booleans(),
    own_start=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=30, deadline=None)
def test_the_best_path_and_its_score_equal_enumeration(
    num_tags: int, lengths: list[int], varying: bool, own_start: bool, seed: int
) -> None:
    batch, time = len(lengths), max(lengths)
    emissions = normal(batch, time, num_tags, seed=seed)
    start, end = (
        normal(batch, num_tags, seed=seed + 1) if own_start else normal(num_tags, seed=seed + 1),
        normal(num_tags, seed=seed + 2),
    )
    shape = (batch, time, num_tags, num_tags) if varying else (num_tags, num_tags)
    transitions = normal(*shape, seed=seed + 3)
    tags, score = viterbi(emissions, mask_of(lengths), start, transitions, end)
    for row, length in enumerate(lengths):
        moves = transitions[row] if varying else transitions.expand(time, -1, -1)
        own = start[row] if own_start else start
        path, best = best_by_enumeration(emissions[row, :length], own, moves, end)
        assert tags[row].tolist() == path + [0] * (time - length)
        assert float(score[row]) == pytest.approx(best, abs=1e-5)


def test_the_entry_before_the_first_token_and_padding_are_not_read() -> None:
    emissions, mask = normal(2, 4, 3, seed=0), mask_of([4, 2])
    start, end, transitions = normal(3, seed=1), normal(3, seed=2), normal(2, 4, 3, 3, seed=3)
    tags, score = viterbi(emissions, mask, start, transitions, end)
    for garbage in (float("nan"), float("inf"), -1e9):
        filled = transitions.masked_fill(~mask[:, :, None, None], garbage)
        filled[:, 0] = garbage
        found = viterbi(emissions.masked_fill(~mask[:, :, None], garbage), mask, start, filled, end)
        assert torch.equal(found[0], tags)
        assert torch.equal(found[1], score)


def test_a_forbidden_step_is_never_taken_however_good_its_tags_are() -> None:
    emissions = torch.tensor([[[1e6, 0.0], [0.0, 1e6], [1e6, 0.0]]])
    transitions = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])
    nothing = torch.zeros(2)
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert viterbi(emissions, mask, nothing, transitions, nothing)[0].tolist() == [[0, 0, 0]]
    never_last = torch.tensor([-torch.inf, 0.0])
    assert viterbi(emissions, mask, nothing, transitions, never_last)[0].tolist() == [[1, 1, 1]]
