"""Softmax and CRF decoders: losses by hand, best tags, padding, constraints."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ner_lab.data.vocab import TagVocab
from ner_lab.decoder.crf import CRF
from ner_lab.decoder.projection import Projection
from ner_lab.decoder.softmax import Softmax
from ner_lab.errors import UserError
from ner_lab.tags import SCHEMES, is_proper

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
MASK = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] + [False] * 4])
KINDS = ["softmax", "softmax tanh", "crf", "crf tanh", "crf decode", "crf always"]


def decoder_of(kind: str, tags: list[str] = TAGS, scheme: str = "IOB2") -> Softmax | CRF:
    """A decoder over states of 6 dimensions, its CRF scores drawn at random."""
    torch.manual_seed(0)
    hidden_dim = 5 if kind.endswith("tanh") else 0
    if kind.startswith("softmax"):
        return Softmax(input_dim=6, tags=tags, scheme=scheme, hidden_dim=hidden_dim)
    constraints = kind.partition(" ")[2] if kind in ("crf decode", "crf always") else "none"
    decoder = CRF(input_dim=6, tags=tags, scheme=scheme, hidden_dim=hidden_dim, constraints=constraints)
    with torch.no_grad():
        for parameter in decoder.chain.parameters():
            parameter.normal_()
    return decoder


def states(batch: int = 3, time: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(batch, time, 6, generator=torch.Generator().manual_seed(seed))


def gold(batch: int = 3, time: int = 5, seed: int = 0) -> Tensor:
    return torch.randint(len(TAGS), (batch, time), generator=torch.Generator().manual_seed(seed))


def test_softmax_loss_is_cross_entropy_summed_over_the_tokens_of_each_sentence() -> None:
    decoder = decoder_of("softmax")
    hidden, tags = states(), gold()
    layer = decoder.projection.layers[0]
    found = decoder.loss(hidden, tags, MASK)
    for row, length in enumerate([5, 2, 1]):
        scores = hidden[row, :length] @ layer.weight.T + layer.bias
        expected = F.cross_entropy(scores, tags[row, :length], reduction="sum")
        torch.testing.assert_close(found[row], expected)


def test_softmax_decodes_each_token_to_its_highest_score() -> None:
    decoder = decoder_of("softmax")
    hidden = states()
    expected = decoder.projection(hidden).argmax(dim=2)
    found = decoder.decode(hidden, MASK)
    assert torch.equal(found[MASK], expected[MASK])


def test_crf_loss_is_the_negative_log_likelihood_over_projected_states() -> None:
    decoder = decoder_of("crf")
    hidden, tags = states(), gold()
    expected = -decoder.chain.log_likelihood(decoder.projection(hidden), tags, MASK)
    assert torch.equal(decoder.loss(hidden, tags, MASK), expected)
    assert torch.equal(decoder.decode(hidden, MASK), decoder.chain.decode(decoder.projection(hidden), MASK)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_all_sequences_sum_to_one(kind: str) -> None:
    decoder = decoder_of(kind)
    sequences = torch.tensor(list(product(range(len(TAGS)), repeat=3)))
    hidden = states(1, 3).expand(len(sequences), -1, -1)
    losses = decoder.loss(hidden, sequences, torch.ones_like(sequences, dtype=torch.bool))
    torch.testing.assert_close(torch.exp(-losses).sum(), torch.tensor(1.0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_alone_is_the_same_in_a_padded_batch(kind: str) -> None:
    decoder = decoder_of(kind)
    hidden, tags = states(), gold()
    losses, best = decoder.loss(hidden, tags, MASK), decoder.decode(hidden, MASK)
    for row, length in enumerate([5, 2, 1]):
        own, own_tags, whole = (
            hidden[row : row + 1, :length],
            tags[row : row + 1, :length],
            MASK[row : row + 1, :length],
        )
        torch.testing.assert_close(decoder.loss(own, own_tags, whole)[0], losses[row])
        assert torch.equal(decoder.decode(own, whole)[0], best[row, :length])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_decodes_to_zero_and_its_content_changes_nothing(kind: str) -> None:
    decoder = decoder_of(kind)
    hidden, tags = states(), gold()
    other = torch.where(MASK[:, :, None], hidden, 100 * states(seed=1))
    assert torch.equal(decoder.loss(hidden, tags, MASK), decoder.loss(other, tags.masked_fill(~MASK, 99), MASK))
    assert torch.equal(decoder.decode(hidden, MASK), decoder.decode(other, MASK))
    assert not decoder.decode(other, MASK)[~MASK].any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_reaches_every_parameter(kind: str) -> None:
    decoder = decoder_of(kind)
    decoder.loss(states(), gold(), MASK).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_direct_scores_are_added_to_the_projection(kind: str) -> None:
    decoder = decoder_of(kind)
    hidden, tags = states(), gold()
    direct = torch.randn(3, 5, len(TAGS), generator=torch.Generator().manual_seed(2))
    with_direct = decoder.loss(hidden, tags, MASK, direct), decoder.decode(hidden, MASK, 20 * direct)
    project = decoder.projection.forward
    decoder.projection.forward = lambda hidden, ignored: project(hidden) + direct
    torch.testing.assert_close(with_direct[0], decoder.loss(hidden, tags, MASK))
    decoder.projection.forward = lambda hidden, ignored: project(hidden) + 20 * direct
    assert torch.equal(with_direct[1], decoder.decode(hidden, MASK))


def test_projection_is_one_linear_layer_or_a_tanh_layer_before_it() -> None:
    hidden = states()
    (plain,) = Projection(6, 4).layers
    torch.manual_seed(0)
    assert plain.weight.shape == (4, 6)
    deep = Projection(6, 4, hidden_dim=3)
    first, _, second = deep.layers
    expected = torch.tanh(hidden @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(deep(hidden), expected)
    assert first.weight.shape == (3, 6)


# constraints


@pytest.mark.parametrize("constraints", ["decode", "always"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_constrained_decoding_never_breaks_the_scheme(scheme: str, constraints: str) -> None:
    tags = TagVocab.of(["LOC", "PER"], scheme).items
    decoder = decoder_of(f"crf {constraints}", tags, scheme)
    free = decoder_of("crf", tags, scheme)
    mask = torch.arange(8) < torch.tensor([8, 5, 2, 1] * 5)[:, None]
    broken = 0
    for scale in (1.0, 1e3, 1e6):
        hidden = scale * states(20, 8)
        for best, unbound, length in zip(
            decoder.decode(hidden, mask), free.decode(hidden, mask), mask.sum(dim=1), strict=True
        ):
            assert is_proper([tags[number] for number in best[:length]], scheme)
            broken += not is_proper([tags[number] for number in unbound[:length]], scheme)
    assert broken > 0 or scheme == "IO"


def test_constraints_at_decoding_leave_the_loss_alone() -> None:
    hidden, tags = states(), gold()
    free, decode, always = (decoder_of(kind).loss(hidden, tags, MASK) for kind in ("crf", "crf decode", "crf always"))
    assert torch.equal(free, decode)
    assert not torch.allclose(free, always)


def test_constraints_in_the_likelihood_leave_no_probability_to_broken_sequences() -> None:
    decoder, free = decoder_of("crf always"), decoder_of("crf")
    sequences = torch.tensor(list(product(range(len(TAGS)), repeat=3)))
    proper = torch.tensor([is_proper([TAGS[number] for number in row], "IOB2") for row in sequences.tolist()])
    hidden, mask = states(1, 3).expand(len(sequences), -1, -1), torch.ones_like(sequences, dtype=torch.bool)
    bound, unbound = (torch.exp(-each.loss(hidden, sequences, mask)) for each in (decoder, free))
    torch.testing.assert_close(bound[proper], unbound[proper] / unbound[proper].sum())
    assert not bound[~proper].any()
    assert (unbound[~proper] > 0).all()


def test_unknown_constraints_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'train'\. It takes none, decode or always"):
        CRF(input_dim=6, tags=TAGS, scheme="IOB2", hidden_dim=0, constraints="train")
