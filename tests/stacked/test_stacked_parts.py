"""The pieces of a stack, each on its own."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ner_lab.data.batch import Batch
from ner_lab.dropout import Dropout
from ner_lab.recurrence.lstm_steps import LSTMSteps
from ner_lab.stacked.batch import StackedBatch, pad
from ner_lab.stacked.chain import log_partition, path_score
from ner_lab.stacked.lookup import look_up, pick
from ner_lab.stacked.lstm_steps import StackedLSTMSteps
from ner_lab.stacked.streams import Stream, drop
from ner_lab.stacked.weights import StackedWeights

CPU = torch.device("cpu")


def stream(seed: int) -> Stream:
    return Stream(seed, torch.Generator().manual_seed(seed).get_state())


def enumerated(
    emissions: Tensor, start: Tensor, moves: Tensor, end: Tensor
) -> tuple[Tensor, dict[tuple[int, ...], Tensor]]:
    """log Z of one sentence (time, tags), and the score of each of its paths."""
    time, num_tags = emissions.shape
    scores = {}
    for path in itertools.product(range(num_tags), repeat=time):
        score = start[path[0]] + end[path[-1]] + sum(emissions[t, tag] for t, tag in enumerate(path))
        scores[path] = score + sum(moves[a, b] for a, b in itertools.pairwise(path))
    return torch.logsumexp(torch.stack(list(scores.values())), dim=0), scores


@given(
    seed=st.integers(0, 10**6),
    widest=st.sampled_from([1.0, 400.0]),
    lengths=st.lists(st.integers(1, 4), min_size=4, max_size=4),
)
@settings(max_examples=10, deadline=None)
def test_chains_of_all_members_agree_with_enumeration(seed: int, widest: float, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    time, shape = max(lengths), (2, 2)
    emissions = torch.randn(*shape, time, 3, generator=generator, dtype=torch.double).mul_(3).requires_grad_()
    start, end = (torch.randn(2, 3, generator=generator, dtype=torch.double).requires_grad_() for _ in range(2))
    moves = torch.randn(2, 3, 3, generator=generator, dtype=torch.double).mul_(widest).requires_grad_()
    tags = torch.randint(3, (*shape, time), generator=generator)
    tokens = torch.tensor(lengths).view(shape)
    mask = torch.arange(time) < tokens[..., None]
    leaves = [emissions, start, moves, end]
    ours = path_score(emissions, tags, mask, tokens, start, moves, end) - log_partition(
        emissions, mask, tokens, start, moves, end
    )
    theirs = []
    for member, row in itertools.product(range(2), range(2)):
        length = int(tokens[member, row])
        sentence = emissions[member, row, :length]
        total, scores = enumerated(sentence, start[member], moves[member], end[member])
        theirs.append(scores[tuple(tags[member, row, :length].tolist())] - total)
    expected = torch.stack(theirs).view(shape)
    torch.testing.assert_close(ours, expected)
    weights = torch.rand(shape, generator=generator, dtype=torch.double)
    for one, other in zip(
        torch.autograd.grad(ours, leaves, weights),
        torch.autograd.grad(expected, leaves, weights, allow_unused=True, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("clip", [None, 0.05])
def test_lstms_side_by_side_take_the_steps_of_each(clip: float | None) -> None:
    torch.manual_seed(1)
    time, cells, batch, dim = 5, 3, 4, 6
    leaves = [
        torch.randn(shape, dtype=torch.double, requires_grad=True)
        for shape in ((time, cells, batch, 4 * dim), (cells, 4 * dim, dim), (cells, batch, dim), (cells, batch, dim))
    ]
    weights = torch.randn(time, cells, batch, dim, dtype=torch.double)
    states = StackedLSTMSteps.apply(*leaves, clip)
    ours = torch.autograd.grad(states, leaves, weights)
    given, recurrent, state, memory = leaves
    alone = torch.stack(
        [
            LSTMSteps.apply(given[:, cell], recurrent[cell], state[cell], memory[cell], clip, None, None, None)
            for cell in range(cells)
        ],
        dim=1,
    )
    torch.testing.assert_close(states, alone)
    for one, other in zip(ours, torch.autograd.grad(alone, leaves, weights), strict=True):
        torch.testing.assert_close(one, other)


def test_lstms_side_by_side_have_the_gradient_of_their_states() -> None:
    torch.manual_seed(2)
    shapes = ((3, 2, 2, 8), (2, 8, 2), (2, 2, 2), (2, 2, 2))
    leaves = [torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *given: StackedLSTMSteps.apply(*given, None), leaves)


def test_a_members_own_weights_are_views_that_an_optimizer_moves() -> None:
    layers = [nn.Linear(2, 3) for _ in range(3)]
    before = torch.stack([layer.weight.detach().clone() for layer in layers])
    weights = StackedWeights([layer.weight for layer in layers])
    (weights.all * torch.arange(3.0)[:, None, None]).sum().backward()
    weights.hand_back()
    torch.optim.SGD([layer.weight for layer in layers], lr=1.0).step()
    expected = before - torch.arange(3.0)[:, None, None]
    torch.testing.assert_close(weights.all.detach(), expected)
    torch.testing.assert_close(torch.stack([layer.weight.detach() for layer in layers]), expected)
    weights.forget()
    assert weights.all.grad is None


def test_each_member_goes_on_with_its_own_random_numbers_and_the_outer_ones_are_untouched() -> None:
    torch.manual_seed(7)
    one, other = stream(1), stream(2)
    outer = torch.get_rng_state()
    drawn: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):
        for member in (one, other):
            with member.running(CPU):
                drawn[member.seed].append(float(torch.rand(())))
    assert torch.equal(torch.get_rng_state(), outer)
    for seed, values in drawn.items():
        assert values == torch.rand(3, generator=torch.Generator().manual_seed(seed)).tolist()


def test_dropout_is_that_of_each_member_alone_however_large_the_others_are() -> None:
    layers, sizes = [Dropout(0.5), Dropout(0.0), Dropout(0.2)], [(2, 3), (4, 2), (1, 5)]
    values = torch.ones(3, 4, 5, 6)
    dropped = drop(values, layers, sizes, [stream(seed) for seed in (1, 2, 3)])
    for number, (layer, (rows, places)) in enumerate(zip(layers, sizes, strict=True)):
        torch.manual_seed(number + 1)
        assert torch.equal(dropped[number, :rows, :places], layer(torch.ones(rows, places, 6)))
    for layer in layers:
        layer.eval()
    assert drop(values, layers, sizes, []) is values


def test_look_ups_read_each_members_table_and_padding_gets_no_gradient() -> None:
    tables = torch.randn(3, 4, 2).index_fill_(1, torch.tensor(0), 0.0).requires_grad_()
    numbers = torch.tensor([[0, 1, 3], [3, 3, 0], [0, 0, 2]])
    found = look_up(tables, numbers)
    torch.testing.assert_close(found, torch.stack([table[row] for table, row in zip(tables, numbers, strict=True)]))
    found.sum().backward()
    counts = torch.stack([torch.bincount(row, minlength=4) for row in numbers]).index_fill_(1, torch.tensor(0), 0)
    assert tables.grad is not None
    torch.testing.assert_close(tables.grad, counts[..., None].expand(-1, -1, 2).float())


def test_rows_are_picked_within_each_member() -> None:
    values, rows = torch.randn(2, 3, 4), torch.tensor([[[0, 2], [1, 1]], [[2, 2], [0, 1]]])
    expected = torch.stack([own[row] for own, row in zip(values, rows, strict=True)])
    assert torch.equal(pick(values, rows), expected)


def batch_of(lengths: list[int], letters: int) -> Batch:
    """Words of numbers from 1, as many spellings as words."""
    time = max(lengths)
    own = torch.tensor(lengths)
    mask = torch.arange(time) < own[:, None]
    words = (torch.arange(mask.numel()).view(mask.shape) + 1) * mask
    forms = torch.zeros_like(words)
    empty = torch.zeros(0, dtype=torch.long)
    chars, letters_of = torch.ones(2, letters, dtype=torch.long), torch.tensor([letters, 1])
    categories = words[..., None]
    return Batch(
        words, chars, letters_of, forms, categories, empty, empty, words, mask, own, own, len(lengths), sum(lengths)
    )


def test_a_stacked_batch_holds_each_members_batch_and_marks_what_is_no_sentence() -> None:
    batches = [batch_of([3, 1], 2), batch_of([2, 2, 4], 5)]
    whole = StackedBatch(batches)
    for number, batch in enumerate(batches):
        rows, places = whole.sizes[number]
        for name in ("words", "tags", "forms", "mask", "categories"):
            field = getattr(whole, name)[number]
            assert torch.equal(field[:rows, :places], getattr(batch, name)), name
        assert not whole.words[number, rows:].any()
        assert not whole.words[number, :, places:].any()
        assert whole.rows[number].tolist() == [row < rows for row in range(3)]
        assert (whole.lengths[number] > 0).all()
    assert whole.mask[0, 2].tolist() == [True, False, False, False]  # a token, for a recurrence to run over
    assert math.prod(whole.char_lengths.shape) == 4
    assert whole.chars.shape == (2, 2, 5)


def test_members_of_one_batch_share_its_memory() -> None:
    batch = batch_of([3, 1], 2)
    whole = StackedBatch([batch] * 3)
    assert whole.words.data_ptr() == batch.words.data_ptr()
    assert whole.words.shape == (3, 2, 3)


def test_padding_is_put_behind_the_first_two_dimensions() -> None:
    padded = pad([torch.ones(1, 2, 3), torch.ones(2, 1, 3)], 7)
    assert padded.shape == (2, 2, 2, 3)
    assert padded[0, 1].eq(7).all()
    assert padded[1, :, 1].eq(7).all()
    assert padded.eq(1).sum() == 12
