"""All decoders that are trained: losses and best tags by hand, padding, direct scores, constraints."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.data.tags import SCHEMES, is_proper
from ner_lab.data.vocab import TagVocab
from ner_lab.errors import UserError
from ner_lab.models.decoder.crf import CRF
from ner_lab.models.decoder.memm import MEMM
from ner_lab.models.decoder.pairwise_crf import PairwiseCRF
from ner_lab.models.decoder.projection import Constant, PairProjection, PerDirection, Projection, projection_of
from ner_lab.models.decoder.softmax import Softmax

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
MASK = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] + [False] * 4])
Decoder = Softmax | CRF | PairwiseCRF | MEMM
CLASSES: dict[str, tuple[Callable[..., Decoder], dict[str, Any]]] = {
    "softmax": (Softmax, {"hidden_dim": 0, "output": "linear", "constraints": "none"}),
    "crf": (CRF, {"hidden_dim": 0, "output": "linear", "stop_score": True, "constraints": "none"}),
    "pairwise": (PairwiseCRF, {"hidden_dim": 0, "padding_label_in_sum": False, "constraints": "none"}),
    "memm": (MEMM, {"hidden_dim": 0, "previous": "shared", "constraints": "none"}),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "tanh": {"hidden_dim": 5},
    "decode": {"constraints": "decode"},
    "always": {"constraints": "always"},
    "halves": {"output": "per_direction"},
    "unstopped": {"stop_score": False},
    "padding": {"padding_label_in_sum": True},
    "each": {"previous": "each"},
}
KINDS = [
    "softmax",
    "softmax tanh",
    "softmax decode",
    "softmax halves",
    "crf",
    "crf tanh",
    "crf decode",
    "crf always",
    "crf unstopped",
    "crf halves unstopped",
    "crf unstopped always",
    "pairwise",
    "pairwise tanh",
    "pairwise decode",
    "pairwise always",
    "pairwise padding",
    "memm",
    "memm tanh",
    "memm decode",
    "memm each",
]


def decoder_of(kind: str, tags: list[str] = TAGS, scheme: str = "IOB2", input_dim: int = 6) -> Any:
    """A decoder, all its weights drawn at random."""
    name, *settings = kind.split()
    build, arguments = CLASSES[name]
    for setting in settings:
        arguments = {**arguments, **SETTINGS[setting]}
    decoder = build(input_dim=input_dim, tags=tags, scheme=scheme, **arguments)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(generator=generator)
    return decoder


# definitions, one sentence at a time


def layers_by_hand(layers: Sequence[nn.Module], hidden: Tensor) -> Tensor:
    for layer in layers:
        if isinstance(layer, nn.Tanh):
            hidden = torch.tanh(hidden)
        elif isinstance(layer, Constant):
            hidden = torch.stack([layer.bias] * len(hidden))
        else:
            assert isinstance(layer, nn.Linear)
            hidden = hidden @ layer.weight.T + layer.bias
    return hidden


def emissions_by_hand(projection: nn.Module, hidden: Tensor) -> Tensor:
    """hidden (time, dim) -> (time, tags)."""
    if isinstance(projection, PerDirection):
        half = hidden.shape[1] // 2
        ahead = torch.softmax(layers_by_hand(projection.ahead, hidden[:, :half]), dim=1)
        back = torch.softmax(layers_by_hand(projection.back, hidden[:, half:]), dim=1)
        return torch.log(ahead) + torch.log(back)
    assert isinstance(projection, Projection)
    return layers_by_hand(projection.layers, hidden)


def steps_by_hand(decoder: Decoder, hidden: Tensor, direct: Tensor) -> tuple[Tensor, Tensor]:
    """hidden (time, dim), direct (time, tags) -> steps (time, tags and border, tags), end (tags,)."""
    projection, end = decoder.projection, torch.zeros(len(TAGS))
    if isinstance(projection, PairProjection):
        steps = layers_by_hand(projection.layers, hidden).unflatten(1, projection.shape)
        return steps[:, :, : len(TAGS)] + direct[:, None], end
    if isinstance(decoder, CRF):
        moves, end = torch.cat([decoder.chain.transitions, decoder.chain.start[None]]), decoder.chain.end
    elif isinstance(decoder, MEMM):
        projection, moves = decoder.projection.emissions, decoder.projection.transitions
    else:
        moves = torch.zeros(len(TAGS) + 1, len(TAGS))
    return (emissions_by_hand(projection, hidden) + direct)[:, None] + moves, end


def losses_and_best_by_hand(
    decoder: Decoder, kind: str, hidden: Tensor, direct: Tensor
) -> tuple[dict[tuple[int, ...], float], list[int]]:
    """Every sequence of tags with its loss, and the best one."""
    steps, end = (scores.detach().double() for scores in steps_by_hand(decoder, hidden, direct))
    if isinstance(decoder, Softmax | MEMM):
        steps = torch.log_softmax(steps, dim=2)
    paths = list(product(range(len(TAGS)), repeat=len(hidden)))
    moved, ended = steps.tolist(), end.tolist()
    sums = [
        sum(moved[step][before][tag] for step, (before, tag) in enumerate(zip((len(TAGS), *path), path, strict=False)))
        + ended[path[-1]]
        for path in paths
    ]
    scores = torch.tensor(sums, dtype=torch.double)
    proper = torch.tensor([is_proper([TAGS[number] for number in path], "IOB2") for path in paths])
    found = scores.masked_fill(~proper, -torch.inf) if "decode" in kind or "always" in kind else scores
    best = list(paths[int(found.argmax())])
    if isinstance(decoder, Softmax | MEMM):
        return dict(zip(paths, (-scores).tolist(), strict=True)), best
    log_z = torch.logsumexp(found if "always" in kind else scores, dim=0)
    losses = log_z - scores
    if "always" in kind:
        losses = losses.masked_fill(~proper, torch.inf)
    return dict(zip(paths, losses.tolist(), strict=True)), best


@pytest.mark.parametrize("input_dim", [6, 0], ids=["states", "no states"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "padding" not in kind])
def test_losses_and_best_tags_are_those_of_the_definition(kind: str, input_dim: int) -> None:
    decoder = decoder_of(kind, input_dim=input_dim)
    hidden, direct = states()[:, :4, :input_dim], 2 * direct_scores()[:, :4]
    mask = MASK[:, :4]
    best = decoder.decode(hidden, mask, direct)
    for row, length in enumerate([4, 2, 1]):
        expected, path = losses_and_best_by_hand(decoder, kind, hidden[row, :length], direct[row, :length])
        assert best[row].tolist() == path + [0] * (4 - length)
        tags = torch.zeros(len(expected), 4, dtype=torch.long)
        tags[:, :length] = torch.tensor(list(expected))
        many = (each[row].expand(len(expected), *each[row].shape) for each in (hidden, mask, direct))
        own, masks, directs = many
        found = decoder.loss(own, tags, masks, directs).detach().double()
        losses = torch.tensor(list(expected.values())).double()
        possible = losses.isfinite()
        torch.testing.assert_close(found[possible], losses[possible], rtol=1e-5, atol=1e-4)
        assert (found[~possible] > 5000).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_states_no_parameter_is_empty_and_the_loss_reaches_all(kind: str) -> None:
    decoder = decoder_of(kind, input_dim=0)
    decoder.loss(states()[:, :, :0], gold(), MASK, direct_scores()).sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.numel() > 0, name
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def states(batch: int = 3, time: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(batch, time, 6, generator=torch.Generator().manual_seed(seed))


def gold(batch: int = 3, time: int = 5, seed: int = 0) -> Tensor:
    return torch.randint(len(TAGS), (batch, time), generator=torch.Generator().manual_seed(seed))


def direct_scores(batch: int = 3, time: int = 5, seed: int = 2) -> Tensor:
    return torch.randn(batch, time, len(TAGS), generator=torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "padding" not in kind])
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
def test_direct_scores_of_a_token_count_like_those_of_its_state(kind: str) -> None:
    decoder = decoder_of(kind)
    hidden, tags, direct = states(), gold(), direct_scores()
    nothing = torch.zeros_like(direct)
    assert torch.equal(decoder.loss(hidden, tags, MASK), decoder.loss(hidden, tags, MASK, nothing))
    favoured = F.one_hot(tags, len(TAGS)) * 60.0
    if decoder.constraints == "none":
        assert torch.equal(decoder.decode(hidden, MASK, favoured), tags * MASK)
        torch.testing.assert_close(decoder.loss(hidden, tags, MASK, favoured), torch.zeros(3), rtol=0.0, atol=1e-4)
    leaf = direct.clone().requires_grad_()
    decoder.loss(hidden, tags, MASK, leaf).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad[MASK].any(dim=1).all()
    assert not leaf.grad[~MASK].any()


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


def test_each_half_of_a_state_has_a_layer_of_its_own_and_the_log_probabilities_are_added() -> None:
    projection = PerDirection(6, 4)
    hidden = states()
    ahead, back = (layers[0] for layers in (projection.ahead, projection.back))
    assert ahead.weight.shape == back.weight.shape == (4, 3)
    expected = torch.log_softmax(hidden[..., :3] @ ahead.weight.T + ahead.bias, dim=2)
    expected = expected + torch.log_softmax(hidden[..., 3:] @ back.weight.T + back.bias, dim=2)
    torch.testing.assert_close(projection(hidden), expected)
    torch.testing.assert_close(projection(hidden, direct_scores()), expected + direct_scores())
    assert not torch.allclose(projection(hidden).logsumexp(dim=2), torch.zeros(3, 5)), "not normalised again"


def test_without_inputs_a_projection_is_its_bias() -> None:
    projection = Projection(0, 4)
    with torch.no_grad():
        projection.layers[0].bias.copy_(torch.arange(4.0))
    assert torch.equal(projection(torch.zeros(2, 3, 0)), torch.arange(4.0).expand(2, 3, 4))
    assert [name for name, _ in projection.named_parameters()] == ["layers.0.bias"]


def test_only_a_stop_score_makes_the_end_a_parameter() -> None:
    assert "chain.end" in dict(decoder_of("crf").named_parameters())
    unstopped = decoder_of("crf unstopped")
    assert "chain.end" not in dict(unstopped.named_parameters())
    assert "chain.end" not in unstopped.state_dict()
    assert not unstopped.chain.end.any()
    unstopped.loss(states(), gold(), MASK).sum().backward()


def test_states_that_have_no_halves_are_refused_with_the_next_step() -> None:
    with pytest.raises(UserError, match=r"have 7 dimensions\. Choose an encoder of two directions \(encoder=bilstm\)"):
        decoder_of("crf halves", input_dim=7)


def test_outputs_that_cannot_be_are_refused_with_the_next_step() -> None:
    with pytest.raises(UserError, match=r"decoder\.output is 'both'\. It takes linear or per_direction"):
        projection_of(6, 4, 0, "both")
    with pytest.raises(UserError, match=r"decoder\.hidden_dim is 100, and .* Give decoder\.hidden_dim=0"):
        projection_of(6, 4, 100, "per_direction")


# constraints


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "decode" in kind or "always" in kind])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_constrained_decoding_never_breaks_the_scheme(scheme: str, kind: str) -> None:
    tags = TagVocab.of(["LOC", "PER"], scheme).items
    decoder = decoder_of(kind, tags, scheme)
    free = decoder_of(kind.replace(" decode", "").replace(" always", ""), tags, scheme)
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


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("softmax", "none or decode"),
        ("crf", "none, decode or always"),
        ("pairwise", "none, decode or always"),
        ("memm", "none or decode"),
    ],
)
def test_unknown_constraints_are_refused_with_the_known_ones(name: str, listed: str) -> None:
    build, arguments = CLASSES[name]
    with pytest.raises(UserError, match=rf"'train'\. It takes {listed}\."):
        build(input_dim=6, tags=TAGS, scheme="IOB2", **{**arguments, "constraints": "train"})
