"""The best path, and the n best, against enumeration of all of them."""

from itertools import product

import pytest
import torch
from chains import all_paths, close, mask_of, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from ner_lab.data.tags import is_proper
from ner_lab.models.decoder.chain.linear_chain import LinearChainCRF
from ner_lab.models.decoder.chain.n_best import n_best
from ner_lab.models.decoder.chain.viterbi import viterbi
from ner_lab.models.decoder.crf import CRF
from ner_lab.models.decoder.pairwise_crf import PairwiseCRF

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]


@given(
    num_tags=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    n=st.integers(1, 12),
    varying=st.booleans(),
    own_start=st.booleans(),
    garbage=st.sampled_from([0.0, torch.nan, torch.inf, -1e9]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=60, deadline=None)
def test_the_best_paths_of_any_small_batch_are_those_of_enumeration(
    num_tags: int, lengths: list[int], n: int, varying: bool, own_start: bool, garbage: float, seed: int
) -> None:
    batch, time, mask = len(lengths), max(lengths), mask_of(lengths)
    emissions, end = normal(batch, time, num_tags, seed=seed), normal(num_tags, seed=seed + 1)
    start = normal(*((batch, num_tags) if own_start else (num_tags,)), seed=seed + 2)
    shape = (batch, time, num_tags, num_tags) if varying else (num_tags, num_tags)
    transitions = normal(*shape, seed=seed + 3)
    damaged = transitions.clone()
    if varying:  # padding, and the step into the first token, are not read
        damaged = damaged.masked_fill(~mask[:, :, None, None], garbage)
        damaged[:, 0] = garbage
    scores = emissions.masked_fill(~mask[:, :, None], garbage), mask, start, damaged, end
    best, score = viterbi(*scores)
    tags, values = n_best(*scores, n)
    assert tags.shape == (batch, n, time)
    for row, length in enumerate(lengths):
        moves = transitions[row] if varying else transitions
        paths, expected = all_paths(emissions[row, :length], start[row] if own_start else start, moves, end)
        order = expected.argsort(descending=True)[:n]
        padding = [0] * (time - length)
        assert best[row].tolist() == paths[order[0]].tolist() + padding
        assert score[row].item() == pytest.approx(expected[order[0]].item(), abs=1e-5)
        assert tags[row, : len(order)].tolist() == [path + padding for path in paths[order].tolist()]
        close(values[row, : len(order)], expected[order], atol=1e-5)
        assert (values[row, len(order) :] == -torch.inf).all()
        assert not tags[row, len(order) :].any()


def test_a_forbidden_step_is_never_taken_however_good_its_tags_are() -> None:
    emissions = torch.tensor([[[1e6, 0.0], [0.0, 1e6], [1e6, 0.0]]])
    transitions = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])
    nothing, mask = torch.zeros(2), torch.ones(1, 3, dtype=torch.bool)
    assert viterbi(emissions, mask, nothing, transitions, nothing)[0].tolist() == [[0, 0, 0]]
    never_last = torch.tensor([-torch.inf, 0.0])
    assert viterbi(emissions, mask, nothing, transitions, never_last)[0].tolist() == [[1, 1, 1]]


def test_paths_of_equal_scores_all_come_once() -> None:
    nothing = torch.zeros(3)
    paths, scores = n_best(torch.zeros(1, 3, 3), mask_of([3]), nothing, torch.zeros(3, 3), nothing, 30)
    assert sorted(map(tuple, paths[0, :27].tolist())) == list(product(range(3), repeat=3))
    assert not scores[0, :27].any()
    assert (scores[0, 27:] == -torch.inf).all()


def test_forbidden_paths_are_not_among_the_n_best() -> None:
    allowed = [[True, False, True], [True, True, True], [True, False, True]]  # tag 1 only after tag 1
    crf = LinearChainCRF(2, allowed)
    paths, scores = crf.n_best(torch.zeros(1, 3, 2), None, 5, constrained=True)
    assert paths[0, 0].tolist() == [0, 0, 0]
    assert scores[0].tolist() == [0.0] + [-torch.inf] * 4
    assert crf.n_best(torch.zeros(1, 3, 2), None, 5)[1].isfinite().all()
    with pytest.raises(ValueError, match="n must be at least 1; got 0"):
        crf.n_best(torch.zeros(1, 3, 2), None, 0)


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
def test_the_n_best_of_a_decoder_have_their_own_log_probability(kind: str, constraints: str) -> None:
    crf = crf_of(kind, constraints)
    hidden, direct, mask = normal(2, 3, 4, seed=7), normal(2, 3, 4, seed=8), mask_of([3, 2])
    paths, scores = crf.n_best(hidden, mask, 60, direct)
    assert torch.equal(paths[:, 0], crf.decode(hidden, mask, direct))
    for row, length in enumerate([3, 2]):
        sequences = [list(path) for path in product(range(4), repeat=length)]
        if constraints != "none":
            sequences = [path for path in sequences if is_proper([TAGS[tag] for tag in path], "IOB2")]
        many = (values[row : row + 1, :length].expand(len(sequences), -1, -1) for values in (hidden, direct))
        states, own_direct = many
        real = torch.ones(len(sequences), length, dtype=torch.bool)
        losses = crf.loss(states, torch.tensor(sequences), real, own_direct)
        order = losses.argsort()[:60]
        assert paths[row, : len(order), :length].tolist() == [sequences[number] for number in order]
        torch.testing.assert_close(scores[row, : len(order)], -losses[order].detach(), rtol=0, atol=2e-5)
        assert (scores[row, len(order) :] == -torch.inf).all()
