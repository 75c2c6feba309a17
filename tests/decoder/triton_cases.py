"""The kernels against PyTorch; run by test_triton_chain.py in a process where Triton interprets them."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ner_lab.models.decoder.chain import log_space as step_by_step
from ner_lab.models.decoder.chain import triton_chain
from ner_lab.models.decoder.chain.viterbi import viterbi


def normal(*shape: int, seed: int, spread: float = 1.0) -> Tensor:
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mask_of(lengths: Sequence[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def scores_of(lengths: Sequence[int], num_tags: int, seed: int = 0, spread: float = 1.0) -> list[Tensor]:
    """Emissions, start, transitions, end."""
    shapes = [(len(lengths), max(lengths), num_tags), (num_tags,), (num_tags, num_tags), (num_tags,)]
    return [normal(*shape, seed=seed + number, spread=spread) for number, shape in enumerate(shapes)]


def tags_of(lengths: Sequence[int], num_tags: int) -> Tensor:
    return torch.randint(num_tags, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))


def value_and_gradients(function: object, scores: list[Tensor], tags: Tensor, mask: Tensor) -> list[Tensor]:
    leaves = [each.detach().clone().requires_grad_() for each in scores]
    value = function(leaves[0], tags, mask, *leaves[1:])  # type: ignore[operator]
    weights = torch.linspace(-1.0, 2.0, len(value), dtype=value.dtype)
    return [value.detach(), *torch.autograd.grad(value @ weights, leaves, materialize_grads=True)]


def agree(scores: list[Tensor], lengths: Sequence[int], *, rtol: float = 1e-6, atol: float = 1e-5) -> None:
    tags, mask = tags_of(lengths, scores[0].shape[2]), mask_of(lengths)
    found = value_and_gradients(triton_chain.log_likelihood, scores, tags, mask)
    exact = value_and_gradients(step_by_step.log_likelihood, [each.double() for each in scores], tags, mask)
    for ours, expected in zip(found, exact, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=rtol, atol=atol)


@given(
    num_tags=st.integers(1, 20),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    spread=st.sampled_from([0.1, 1.0, 5.0]),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=6, deadline=None)
def test_likelihood_and_all_gradients_equal_the_definition(
    num_tags: int, lengths: list[int], spread: float, seed: int
) -> None:
    agree(scores_of(lengths, num_tags, seed, spread), lengths, atol=1e-5 if spread < 5.0 else 5e-5)


@pytest.mark.parametrize("num_tags", [16, 17, 73, 128])
def test_any_number_of_tags_up_to_the_limit(num_tags: int) -> None:
    agree(scores_of([5, 2], num_tags), [5, 2])


def test_forbidden_moves_are_right_where_they_can_and_cannot_be_avoided() -> None:
    lengths = [6, 3]
    scores = scores_of(lengths, 3)
    scores[2][0] = -1e4  # no way out of the first tag
    scores[0][:, 0, 0] += 2e4
    agree(scores, lengths, atol=5e-3)  # a score of some ten thousands has a grain of 2e-3 in single precision
    scores = scores_of(lengths, 3)
    scores[2][0, 1] = scores[3][2] = -torch.inf
    mask = mask_of(lengths)
    tags = torch.zeros_like(tags_of(lengths, 3))
    tags[:, -1] = 0
    found = value_and_gradients(triton_chain.log_likelihood, scores, tags, mask)
    scores[2][0, 1] = scores[3][2] = -1e4
    exact = value_and_gradients(step_by_step.log_likelihood, [each.double() for each in scores], tags, mask)
    for ours, expected in zip(found, exact, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-6, atol=1e-5)


def test_large_emissions_and_long_sentences() -> None:
    lengths = [24, 9]
    scores = scores_of(lengths, 4)
    agree(scores, lengths, atol=1e-4)
    scores[0] *= 1000.0
    agree(scores, lengths, rtol=1e-6, atol=2e-3)


@pytest.mark.parametrize("garbage", [-3.0, float("inf"), float("nan")])
def test_garbage_at_padding_changes_nothing(garbage: float) -> None:
    lengths, num_tags = [5, 1, 3], 4
    scores, tags, mask = scores_of(lengths, num_tags), tags_of(lengths, num_tags), mask_of(lengths)
    clean = value_and_gradients(triton_chain.log_likelihood, scores, tags, mask)
    path = triton_chain.viterbi(scores[0], mask, *scores[1:])
    scores[0] = scores[0].masked_fill(~mask[:, :, None], garbage)
    dirty = value_and_gradients(triton_chain.log_likelihood, scores, tags.masked_fill(~mask, -100), mask)
    dirty += triton_chain.viterbi(scores[0], mask, *scores[1:])
    for ours, expected in zip(dirty, [*clean, *path], strict=True):
        assert torch.equal(ours, expected)


def test_half_precision_is_read_and_written_and_summed_in_single_precision() -> None:
    lengths = [7, 2]
    scores, tags, mask = scores_of(lengths, 5), tags_of(lengths, 5), mask_of(lengths)
    scores[0] = scores[0].bfloat16()
    half = value_and_gradients(triton_chain.log_likelihood, scores, tags, mask)
    scores[0] = scores[0].float()
    single = value_and_gradients(triton_chain.log_likelihood, scores, tags, mask)
    assert half[1].dtype == torch.bfloat16
    torch.testing.assert_close(half[1].float(), single[1], rtol=2**-7, atol=0.0)  # the interpreter cuts digits off
    for ours, expected in zip([half[0], *half[2:]], [single[0], *single[2:]], strict=True):
        assert torch.equal(ours, expected)


def test_scores_that_lie_apart_in_memory_are_read_in_order() -> None:
    lengths, num_tags = [5, 3], 4
    scores, tags, mask = scores_of(lengths, num_tags), tags_of(lengths, num_tags), mask_of(lengths)
    emissions = scores[0].transpose(0, 1).contiguous().transpose(0, 1)
    apart = [emissions, scores[1], scores[2].t().contiguous().t(), scores[3]]
    tags_apart = tags.t().contiguous().t()
    for ours, expected in zip(
        value_and_gradients(triton_chain.log_likelihood, apart, tags_apart, mask.t().contiguous().t()),
        value_and_gradients(triton_chain.log_likelihood, scores, tags, mask),
        strict=True,
    ):
        assert torch.equal(ours, expected)
    for ours, expected in zip(
        triton_chain.viterbi(apart[0], mask.t().contiguous().t(), *apart[1:]),
        triton_chain.viterbi(scores[0], mask, *scores[1:]),
        strict=True,
    ):
        assert torch.equal(ours, expected)


@given(
    num_tags=st.integers(1, 20),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    forbid=st.booleans(),
    whole=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=6, deadline=None)
def test_best_paths_and_scores_are_those_of_pytorch_ties_included(
    num_tags: int, lengths: list[int], forbid: bool, whole: bool, seed: int
) -> None:
    scores = scores_of(lengths, num_tags, seed, 2.0)
    if whole:  # many paths of equal scores
        scores = [each.round() for each in scores]
    if forbid:
        scores[2][0, -1] = -torch.inf
    mask = mask_of(lengths)
    found = triton_chain.viterbi(scores[0], mask, *scores[1:])
    expected = viterbi(scores[0], mask, *scores[1:])
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_the_comparison_on_a_new_card_accepts_right_numbers_and_refuses_wrong_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    assert triton_chain._compare(16, cpu)
    right = triton_chain.log_likelihood
    monkeypatch.setattr(triton_chain, "log_likelihood", lambda *scores: right(*scores) * 1.001)
    assert not triton_chain._compare(16, cpu)

    def broken(*scores: Tensor) -> Tensor:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(triton_chain, "log_likelihood", broken)
    triton_chain._agrees_with_pytorch.cache_clear()
    assert not triton_chain._agrees_with_pytorch(16, cpu)
    triton_chain._agrees_with_pytorch.cache_clear()
