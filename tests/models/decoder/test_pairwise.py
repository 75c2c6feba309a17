"""Inference with scores for every pair: against enumeration, the plain CRF, and itself in log space."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from chains import close, mask_of, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ner_lab.data.tags import is_proper
from ner_lab.models.decoder.chain import log_space, pairwise
from ner_lab.models.decoder.chain.pairwise import log_partition
from ner_lab.models.decoder.pairwise_crf import PairwiseCRF

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
MASK = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [True] + [False] * 3])


def paths_and_scores(start: Tensor, transitions: Tensor) -> tuple[Tensor, Tensor]:
    """start (tags,), transitions (time, from, to) -> every path (paths, time), and its score in double precision."""
    time, num_tags = transitions.shape[:2]
    paths = torch.tensor(list(product(range(num_tags), repeat=time)))
    scores = start.double()[paths[:, 0]]
    for step in range(1, time):
        scores = scores + transitions[step].double()[paths[:, step - 1], paths[:, step]]
    return paths, scores


def by_logs(start: Tensor, transitions: Tensor, mask: Tensor) -> Tensor:
    nothing = torch.zeros((*mask.shape, start.shape[1]), dtype=start.dtype)
    return log_space.log_partition(nothing, start, transitions, torch.zeros_like(start[0]), mask.sum(dim=1))


def value_and_gradients(
    function: Callable[..., Tensor], start: Tensor, transitions: Tensor, mask: Tensor
) -> list[Tensor]:
    """Sentences count differently, so that their gradients must not mix."""
    leaves = [start.detach().clone().requires_grad_(), transitions.detach().clone().requires_grad_()]
    value = function(*leaves, mask)
    weights = torch.linspace(-1.0, 2.0, len(value), dtype=value.dtype)
    return [value.detach(), *torch.autograd.grad(value @ weights, leaves, materialize_grads=True)]


# the partition function


@given(
    num_tags=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    spread=st.sampled_from([0.1, 2.0, 40.0]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=25, deadline=None)
def test_the_partition_sums_over_all_paths_and_its_gradient_is_their_share(
    num_tags: int, lengths: list[int], spread: float, seed: int
) -> None:
    batch, time = len(lengths), max(lengths)
    start = normal(batch, num_tags, seed=seed, spread=spread).requires_grad_()
    transitions = normal(batch, time, num_tags, num_tags, seed=seed + 1, spread=spread).requires_grad_()
    found = log_partition(start, transitions, mask_of(lengths))
    found.sum().backward()
    assert start.grad is not None
    assert transitions.grad is not None
    for row, length in enumerate(lengths):
        paths, scores = paths_and_scores(start.detach()[row], transitions.detach()[row, :length])
        close(found[row], torch.logsumexp(scores, dim=0))
        shares = torch.softmax(scores, dim=0)
        expected = torch.zeros(time, num_tags, num_tags, dtype=torch.double)
        for step in range(1, length):
            expected[step].index_put_((paths[:, step - 1], paths[:, step]), shares, accumulate=True)
        close(transitions.grad[row], expected)
        close(start.grad[row], torch.zeros(num_tags).double().index_add_(0, paths[:, 0], shares))


@given(
    num_tags=st.integers(1, 6),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("form", [pairwise._LogPartition, pairwise._LogPartitionByLogs])
def test_both_closed_forms_equal_log_space_under_autograd(
    form: Any, num_tags: int, lengths: list[int], seed: int
) -> None:
    start = normal(len(lengths), num_tags, seed=seed).double()
    transitions = normal(len(lengths), max(lengths), num_tags, num_tags, seed=seed + 1, spread=3.0).double()
    for found, expected in zip(
        value_and_gradients(form.apply, start, transitions, mask_of(lengths)),
        value_and_gradients(by_logs, start, transitions, mask_of(lengths)),
        strict=True,
    ):
        close(found, expected, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logs_take_and_give_single_and_half_precision(dtype: torch.dtype) -> None:
    start, transitions = normal(2, 3).to(dtype), normal(2, 5, 3, 3, seed=1, spread=90.0).to(dtype)
    mask = mask_of([5, 2])
    value, *gradients = value_and_gradients(pairwise._LogPartitionByLogs.apply, start, transitions, mask)
    exact = value_and_gradients(by_logs, start.double(), transitions.double(), mask)
    assert value.dtype == torch.float32
    assert [gradient.dtype for gradient in gradients] == [dtype, dtype]
    close(value, exact[0], rtol=1e-6)
    for found, expected in zip(gradients, exact[1:], strict=True):
        close(found, expected.to(dtype), rtol=1e-5, atol=1e-7)


def test_the_widest_scores_of_the_closed_form_lose_nothing_in_single_precision() -> None:
    order = torch.tensor([5, 0, 14, 3, 9, 1, 15, 7, 2, 12, 4, 11, 8, 13, 6, 10])
    transitions = torch.stack([torch.linspace(-29.9, 29.9, 16)[order.roll(step)].view(4, 4) for step in range(24)])
    transitions = transitions.view(3, 8, 4, 4)
    start, mask = normal(3, 4, spread=100.0), mask_of([8, 3, 5])
    found = value_and_gradients(pairwise._LogPartition.apply, start, transitions, mask)
    exact = value_and_gradients(by_logs, start.double(), transitions.double(), mask)
    for ours, expected in zip(found, exact, strict=True):
        close(ours, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(("time", "spread"), [(1000, 1.0), (20, 1000.0), (300, 1000.0)])
def test_long_sentences_and_large_scores_stay_right_in_single_precision(time: int, spread: float) -> None:
    start, transitions = normal(2, 5, spread=spread), normal(2, time, 5, 5, seed=1, spread=spread)
    mask = mask_of([time, time // 2])
    found = value_and_gradients(log_partition, start, transitions, mask)
    exact = value_and_gradients(by_logs, start.double(), transitions.double(), mask)
    close(found[0], exact[0], rtol=1e-6, atol=1e-3)
    for ours, expected in zip(found[1:], exact[1:], strict=True):
        # a score of some hundred thousands has a grain of 2e-2 in single precision: no share can be finer
        close(ours, expected, atol=1e-4 if spread == 1.0 else 5e-2)


@pytest.mark.parametrize("spread", [1.0, 100.0], ids=["closed form", "log space"])
@pytest.mark.parametrize("garbage", [-3.0, 1e30, float("inf"), float("nan")])
def test_garbage_at_padding_and_before_the_first_token_changes_nothing(garbage: float, spread: float) -> None:
    mask = mask_of([6, 2, 4, 1])
    start, transitions = normal(4, 3), normal(4, 6, 3, 3, seed=1, spread=spread)
    filled = transitions.masked_fill(~mask[:, :, None, None], garbage)
    filled[:, 0] = garbage
    results = [value_and_gradients(log_partition, start, scores, mask) for scores in (transitions, filled)]
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)
    assert not results[0][2][~mask].any()


# the decoder


def crf_of(*, padding_label_in_sum: bool = False, constraints: str = "none", spread: float = 1.0) -> PairwiseCRF:
    """A CRF over states of 6 dimensions, whose weights are drawn from a normal distribution."""
    crf = PairwiseCRF(
        input_dim=6,
        tags=TAGS,
        scheme="IOB2",
        hidden_dim=0,
        padding_label_in_sum=padding_label_in_sum,
        constraints=constraints,
    )
    with torch.no_grad():
        for number, parameter in enumerate(crf.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=number, spread=spread))
    return crf


def test_the_padding_label_is_in_the_sum_and_in_no_result() -> None:
    crf = crf_of(padding_label_in_sum=True)
    with torch.no_grad():
        crf.projection.layers[0].bias.view(5, 5)[:, -1] += 9.0  # the label for padding is the best of all
    hidden, direct = normal(3, 4, 6), normal(3, 4, 4, seed=7)
    tags = torch.randint(4, (3, 4), generator=torch.Generator().manual_seed(1))
    weight, bias = (
        parameter.detach() for parameter in (crf.projection.layers[0].weight, crf.projection.layers[0].bias)
    )
    losses, best = crf.loss(hidden, tags, MASK, direct), crf.decode(hidden, MASK, direct)
    for row, length in enumerate([4, 2, 1]):
        pairs = (hidden[row, :length] @ weight.T + bias).view(length, 5, 5).clone()
        pairs[:, :, :4] += direct[row, :length, None]
        paths, scores = paths_and_scores(pairs[0, 4], pairs)
        gold = (paths == tags[row, :length]).all(dim=1)
        close(losses[row], (torch.logsumexp(scores, dim=0) - scores[gold])[0])
        without = scores.masked_fill((paths == 4).any(dim=1), -torch.inf)
        assert torch.equal(best[row, :length], paths[without.argmax()])
        assert scores.max() > without.max()


@pytest.mark.parametrize("padding_label_in_sum", [False, True])
def test_constraints_in_the_likelihood_leave_no_probability_to_broken_sequences(padding_label_in_sum: bool) -> None:
    bound, free = (
        crf_of(padding_label_in_sum=padding_label_in_sum, constraints=constraints) for constraints in ("always", "none")
    )
    sequences = torch.tensor(list(product(range(4), repeat=3)))
    proper = torch.tensor([is_proper([TAGS[number] for number in row], "IOB2") for row in sequences.tolist()])
    hidden, mask = normal(1, 3, 6).expand(len(sequences), -1, -1), torch.ones_like(sequences, dtype=torch.bool)
    found, unbound = (torch.exp(-each.loss(hidden, sequences, mask)).detach() for each in (bound, free))
    ratio = found[proper] / unbound[proper]
    close(ratio, ratio[:1].expand_as(ratio), rtol=1e-4)
    assert float(ratio[0]) > 1
    assert not found[~proper].any()
    if not padding_label_in_sum:
        close(found.sum(), torch.tensor(1.0))


def test_a_constrained_sentence_ends_where_its_own_tokens_end() -> None:
    # IOBES forbids an end after B: the border must be felt at the last token, not at the end of the batch
    tags = ["O", "B-X", "E-X"]
    crf = PairwiseCRF(
        input_dim=0, tags=tags, scheme="IOBES", hidden_dim=0, padding_label_in_sum=False, constraints="always"
    )
    direct = torch.tensor([0.0, 20.0, 0.0]).expand(2, 3, 3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert crf.decode(torch.zeros(2, 3, 0), mask, direct).tolist() == [[1, 2, 0], [0, 0, 0]]
    losses = crf.loss(torch.zeros(2, 3, 0), torch.tensor([[0, 1, 2], [0, 0, 0]]), mask, direct)
    close(losses[1], torch.tensor(0.0))  # O alone is proper
    close(losses[0], torch.logsumexp(torch.tensor([20.0, 20.0, 0.0]), dim=0) - 20.0)  # O B E, B E O, O O O
