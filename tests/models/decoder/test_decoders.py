"""All decoders that are trained: losses and best tags by hand, padding, direct scores, constraints."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ner_lab.data.tags import SCHEMES, is_proper
from ner_lab.data.vocab import TagVocab
from ner_lab.models.decoder.crf import CRF
from ner_lab.models.decoder.memm import MEMM
from ner_lab.models.decoder.pairwise_crf import PairwiseCRF
from ner_lab.models.decoder.projection import Constant, PairProjection, PerDirection, Projection
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


def test_only_a_stop_score_makes_the_end_a_parameter() -> None:
    assert "chain.end" in dict(decoder_of("crf").named_parameters())
    unstopped = decoder_of("crf unstopped")
    assert "chain.end" not in dict(unstopped.named_parameters())
    assert "chain.end" not in unstopped.state_dict()
    assert not unstopped.chain.end.any()
    unstopped.loss(states(), gold(), MASK).sum().backward()


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
