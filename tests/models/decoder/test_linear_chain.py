"""The linear-chain CRF against enumeration, against pytorch-crf, and against itself in log space."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from chains import all_paths, close, mask_of, normal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchcrf import CRF as Oracle

from ner_lab.models.decoder.chain import forward_backward, log_space
from ner_lab.models.decoder.crf import LinearChainCRF

Likelihood = Callable[..., Tensor]


def random_crf(
    num_tags: int,
    seed: int = 0,
    spread: float = 1.0,
    dtype: torch.dtype = torch.float32,
    allowed: Sequence[Sequence[bool]] | None = None,
    stop_score: bool = True,
) -> LinearChainCRF:
    """A CRF whose scores are drawn from a normal distribution of that deviation."""
    crf = LinearChainCRF(num_tags, allowed, stop_score=stop_score)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
    return crf.to(dtype)


def random_emissions(batch: int, time: int, num_tags: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    return normal(batch, time, num_tags, seed=seed, spread=spread)


def enumerate_paths(crf: LinearChainCRF, emissions: Tensor) -> tuple[Tensor, Tensor]:
    return all_paths(emissions, crf.start, crf.transitions, crf.end)


def random_tags(batch: int, time: int, num_tags: int, seed: int = 0) -> Tensor:
    return torch.randint(num_tags, (batch, time), generator=torch.Generator().manual_seed(seed))


def marginals_by_enumeration(paths: Tensor, scores: Tensor, num_tags: int) -> Tensor:
    """-> (time, tags)."""
    one_hot = torch.nn.functional.one_hot(paths, num_tags).double()  # (paths, time, tags)
    return torch.einsum("p,ptk->tk", torch.softmax(scores, dim=0), one_hot)


# enumeration


@given(
    num_tags=st.integers(1, 4),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    spread=st.sampled_from([0.1, 1.0, 5.0]),
    stop_score=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=25, deadline=None)
def test_any_small_batch_equals_enumeration(
    num_tags: int, lengths: list[int], spread: float, stop_score: bool, seed: int
) -> None:
    crf = random_crf(num_tags, seed, spread, stop_score=stop_score)
    batch, time = len(lengths), max(lengths)
    emissions = random_emissions(batch, time, num_tags, seed + 1, spread)
    tags = random_tags(batch, time, num_tags, seed)
    mask = mask_of(lengths)
    likelihood = crf.log_likelihood(emissions, tags, mask)
    marginals = crf.marginals(emissions, mask)
    best, score = crf.decode(emissions, mask)
    for row, length in enumerate(lengths):
        paths, scores = enumerate_paths(crf, emissions[row, :length])
        gold = (paths == tags[row, :length]).all(dim=1)
        close(likelihood[row], (scores[gold] - torch.logsumexp(scores, dim=0))[0])
        close(marginals[row, :length], marginals_by_enumeration(paths, scores, num_tags))
        close(score[row], scores.max())
        close(scores[(paths == best[row, :length]).all(dim=1)][0], scores.max())
        assert not best[row, length:].any()


# pytorch-crf


def oracle_of(crf: LinearChainCRF) -> Oracle:
    oracle = Oracle(crf.num_tags, batch_first=True)
    with torch.no_grad():
        oracle.start_transitions.copy_(crf.start)
        oracle.transitions.copy_(crf.transitions)
        oracle.end_transitions.copy_(crf.end)
    return oracle


@pytest.mark.parametrize("lengths", [[9, 9, 9], [9, 1, 4], [1, 2], [2, 7, 3, 5, 1, 7]], ids=str)
def test_likelihood_and_all_gradients_equal_pytorch_crf(lengths: list[int]) -> None:
    crf = random_crf(6, seed=3)
    oracle = oracle_of(crf)
    batch, time = len(lengths), max(lengths)
    tags, mask = random_tags(batch, time, 6), mask_of(lengths)
    ours, theirs = (random_emissions(batch, time, 6).requires_grad_() for _ in range(2))
    found = crf.log_likelihood(ours, tags, mask)
    expected = oracle(theirs, tags, mask, reduction="none")
    close(found, expected)
    weights = torch.linspace(0.5, 2.0, batch)  # sentences that count differently must not mix
    (found @ weights).backward()
    (expected @ weights).backward()
    close(ours.grad, theirs.grad)
    close(crf.start.grad, oracle.start_transitions.grad)
    close(crf.transitions.grad, oracle.transitions.grad)
    close(crf.end.grad, oracle.end_transitions.grad)


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), seed=st.integers(0, 2**20))
@settings(max_examples=20, deadline=None)
def test_best_paths_equal_pytorch_crf(lengths: list[int], seed: int) -> None:
    crf = random_crf(5, seed)
    emissions, mask = random_emissions(len(lengths), max(lengths), 5, seed + 1), mask_of(lengths)
    best, _ = crf.decode(emissions, mask)
    found = [path[:length] for path, length in zip(best.tolist(), lengths, strict=True)]
    assert found == oracle_of(crf).decode(emissions, mask)


# the closed form against the definition


def gold_and_scores(
    lengths: Sequence[int], num_tags: int, seed: int = 0, spread: float = 2.0
) -> tuple[Tensor, Tensor, Tensor]:
    """-> emissions, tags, mask, in double precision."""
    batch, time = len(lengths), max(lengths)
    emissions = random_emissions(batch, time, num_tags, seed, spread).double()
    return emissions, random_tags(batch, time, num_tags, seed), mask_of(lengths)


def value_and_gradients(
    function: Likelihood, emissions: Tensor, tags: Tensor, mask: Tensor, crf: LinearChainCRF
) -> list[Tensor]:
    """Sentences count differently, so that their gradients must not mix."""
    leaf = emissions.detach().clone().requires_grad_()
    scores = (crf.start, crf.transitions, crf.end)
    value = function(leaf, tags, mask, *scores)
    weights = torch.linspace(-1.0, 2.0, len(value), dtype=value.dtype)
    return [value.detach(), *torch.autograd.grad(value @ weights, (leaf, *scores), materialize_grads=True)]


def with_passes(passes: Callable[..., object]) -> Likelihood:
    def function(emissions: Tensor, tags: Tensor, mask: Tensor, *scores: Tensor) -> Tensor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(forward_backward, "both_passes", passes)
            return forward_backward.log_likelihood(emissions, tags, mask, *scores)

    return function


by_logs = with_passes(forward_backward.log_passes)
WAYS = {
    "as chosen": forward_backward.log_likelihood,
    "scaled each step": with_passes(partial(forward_backward.factor_passes, every=1)),
    "scaled each third step": with_passes(partial(forward_backward.factor_passes, every=3)),
    "logs": by_logs,
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@each_way
@given(
    num_tags=st.integers(1, 6),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=15, deadline=None)
def test_closed_form_equals_the_definition_under_autograd(
    way: Likelihood, num_tags: int, lengths: list[int], seed: int
) -> None:
    crf = random_crf(num_tags, seed, spread=3.0, dtype=torch.float64)
    batch = gold_and_scores(lengths, num_tags, seed)
    exact = value_and_gradients(log_space.log_likelihood, *batch, crf)
    for found, expected in zip(value_and_gradients(way, *batch, crf), exact, strict=True):
        close(found, expected, atol=1e-9)


@pytest.mark.parametrize("widest", [59.8, 298.0, 590.0, 1400.0])
@pytest.mark.parametrize("offset", [0.0, 200.0, -200.0])
def test_transitions_far_apart_lose_nothing(widest: float, offset: float) -> None:
    crf = random_crf(4, seed=5, dtype=torch.float64)
    with torch.no_grad():
        spread = torch.linspace(-widest / 2, widest / 2, 16, dtype=torch.float64)
        crf.transitions.copy_(spread.view(4, 4)[:, torch.tensor([2, 0, 3, 1])] + offset)
    batch = gold_and_scores([30, 3, 25], 4, spread=30.0)
    found = value_and_gradients(forward_backward.log_likelihood, *batch, crf)
    for ours, expected in zip(found, value_and_gradients(log_space.log_likelihood, *batch, crf), strict=True):
        close(ours, expected, rtol=1e-12, atol=1e-9)


def test_logs_take_over_only_where_factors_may_have_lost_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    passes = forward_backward.log_passes
    monkeypatch.setattr(forward_backward, "log_passes", lambda lattice: used.append(True) or passes(lattice))
    emissions, tags = torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.long)
    crf = random_crf(2)
    with torch.no_grad():
        crf.transitions[0, 1] = -1e4
    crf.log_likelihood(emissions, tags)
    assert not used  # forbidden, and easily avoided
    emissions[0, 0, 0] = emissions[0, 2, 1] = 2000.0  # now it pays to begin with tag 0 and to end with tag 1
    found = crf.log_likelihood(emissions, tags)
    assert used
    close(found[0], torch.log_softmax(enumerate_paths(crf, emissions[0])[1], dim=0)[0], rtol=1e-6)


def test_many_pairs_are_summed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    crf, batch = random_crf(3, dtype=torch.float64), gold_and_scores([7, 4, 1], 3)
    at_once = value_and_gradients(by_logs, *batch, crf)
    monkeypatch.setattr(forward_backward, "CHUNK", 20)
    for pieces, expected in zip(value_and_gradients(by_logs, *batch, crf), at_once, strict=True):
        close(pieces, expected, atol=1e-12)


def test_numbers_keep_their_type() -> None:
    crf, tags = random_crf(3), random_tags(2, 4, 3)
    emissions = random_emissions(2, 4, 3).bfloat16().requires_grad_()
    found = crf.log_likelihood(emissions, tags)
    assert found.dtype == torch.float32
    close(found, crf.log_likelihood(emissions.detach().float(), tags), atol=1e-5)
    found.sum().backward()
    assert emissions.grad.dtype == torch.bfloat16
    assert crf.transitions.grad.dtype == torch.float32
    assert crf.marginals(emissions).dtype == torch.bfloat16
    assert crf.double().log_likelihood(emissions.detach().double(), tags).dtype == torch.float64


def test_a_likelihood_leaves_what_it_was_given_as_it_was() -> None:
    for dtype in (torch.float32, torch.float64):
        crf = random_crf(3, dtype=dtype)
        emissions, tags = random_emissions(1, 1, 3).to(dtype), random_tags(1, 1, 3)
        before = [emissions.clone(), *(parameter.clone() for parameter in crf.parameters())]
        crf.log_likelihood(emissions, tags).sum().backward()
        crf.decode(emissions)
        crf.n_best(emissions, None, 2)
        for now, then in zip([emissions, *crf.parameters()], before, strict=True):
            assert torch.equal(now, then)


# extremes


@pytest.mark.parametrize(("time", "scale"), [(1000, 1.0), (20, 1000.0), (1000, 1000.0)])
def test_long_sentences_and_large_emissions_stay_right_in_single_precision(time: int, scale: float) -> None:
    crf = random_crf(5)
    emissions = scale * random_emissions(2, time, 5, spread=1.0)
    tags, mask = random_tags(2, time, 5), mask_of([time, time // 2])
    leaf = emissions.clone().requires_grad_()
    likelihood = crf.log_likelihood(leaf, tags, mask)
    likelihood.sum().backward()
    marginals, best = crf.marginals(emissions, mask), crf.decode(emissions, mask)[0]
    transitions_grad = crf.transitions.grad
    exact = random_crf(5, dtype=torch.float64)
    wide = emissions.double().requires_grad_()
    score = exact.log_likelihood(wide, tags, mask)
    score.sum().backward()
    close(likelihood, score, rtol=1e-6, atol=1e-3)
    assert leaf.grad.isfinite().all()
    # a score of some thousands has a grain of 2e-4 in single precision: no probability can be finer
    close(marginals, exact.marginals(emissions.double(), mask), atol=1e-4 if scale == 1.0 else 2e-3)
    close(leaf.grad, wide.grad, atol=1e-4 if scale == 1.0 else 2e-3)
    close(transitions_grad, exact.transitions.grad, rtol=1e-4, atol=1e-2)
    assert torch.equal(best, exact.decode(emissions.double(), mask)[0])


def test_a_sentence_that_cannot_avoid_a_forbidden_transition_keeps_its_score() -> None:
    # exp(-1e4) is zero in any precision: only log space tells these paths apart
    crf = random_crf(2)
    with torch.no_grad():
        crf.transitions[0] = -1e4
        crf.start[1] = -1e6
    emissions = random_emissions(1, 3, 2)[0]
    paths, scores = enumerate_paths(crf, emissions)
    found = crf.log_likelihood(emissions.expand(len(paths), -1, -1), paths)
    reachable = paths[:, 0] == 0
    close(found[reachable], torch.log_softmax(scores, dim=0)[reachable], rtol=1e-6, atol=5e-3)
    found[reachable].sum().backward()
    assert crf.transitions.grad.isfinite().all()


def test_half_precision_around_the_crf_does_not_reach_into_it() -> None:
    crf = random_crf(5, spread=3.0)
    emissions, tags = random_emissions(2, 30, 5), random_tags(2, 30, 5)
    alone = crf.log_likelihood(emissions, tags)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(crf.log_likelihood(emissions, tags), alone, atol=1e-5)


# padding


@pytest.mark.parametrize("forbid", [False, True], ids=["closed form", "log space"])
@pytest.mark.parametrize("garbage", [-3.0, 1e30, float("inf"), float("nan")])
def test_garbage_at_padding_changes_nothing(garbage: float, forbid: bool) -> None:
    crf = random_crf(4)
    if forbid:
        with torch.no_grad():
            crf.transitions[0, 1] = -1e4
    mask = mask_of([6, 2, 4])
    emissions, tags = random_emissions(3, 6, 4), random_tags(3, 6, 4)
    results = []
    for filler, wrong in ((0.0, 0), (garbage, -100), (garbage, 10**6)):
        filled = emissions.masked_fill(~mask[:, :, None], filler).requires_grad_()
        crf.zero_grad()
        likelihood = crf.log_likelihood(filled, tags.masked_fill(~mask, wrong), mask)
        likelihood.sum().backward()
        gradients = [filled.grad, *(parameter.grad.clone() for parameter in crf.parameters())]
        results.append([likelihood, *gradients, crf.marginals(filled, mask), *crf.decode(filled, mask)])
    assert not results[0][1][~mask].any()
    for result in results[1:]:
        for found, expected in zip(result, results[0], strict=True):
            assert torch.equal(found, expected)


# messages


@pytest.mark.parametrize(
    ("emissions", "tags", "mask", "message"),
    [
        ((2, 4, 5), (2, 4), None, r"emissions must be of shape \(batch, time, 3\); got \(2, 4, 5\)"),
        ((4, 3), (4,), None, r"emissions must be of shape \(batch, time, 3\); got \(4, 3\)"),
        ((2, 4, 3), (2, 4), [3, 2], r"mask must be of shape \(2, 4\); got \(2, 3\)"),
        ((2, 4, 3), (4,), None, r"tags must be of shape \(2, 4\); got \(4,\)"),
        ((2, 4, 3), (2, 1), None, r"tags must be of shape \(2, 4\); got \(2, 1\)"),
        ((2, 4, 3), (2, 4), [4, 0], "every sentence needs a token"),
    ],
)
def test_wrong_shapes_are_refused(
    emissions: tuple[int, ...], tags: tuple[int, ...], mask: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        random_crf(3).log_likelihood(
            torch.zeros(emissions), torch.zeros(tags, dtype=torch.long), None if mask is None else mask_of(mask)
        )


def test_a_crf_without_tags_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tag; got 0"):
        LinearChainCRF(0)
