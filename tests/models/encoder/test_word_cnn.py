"""The word CNN against torch's own convolutions, sentence by sentence; its normalisation counts words alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ner_lab.models.encoder.cnn import CNN, _normalised, _normalised_by_sums

LENGTHS = torch.tensor([6, 4, 1])
MASK = torch.arange(6) < LENGTHS[:, None]


def cnn(**options: Any) -> CNN:
    torch.manual_seed(0)
    common = {"input_dim": 4, "hidden_dim": 5, "num_layers": 3, "window": 3, "input_dropout": 0.0, "dropout": 0.0}
    return CNN(**common | options).double()


def inputs_of(time: int = 6) -> Tensor:
    drawn = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return nn.functional.pad(drawn, (0, 0, 0, time - 6), value=9.0)


def plain(encoder: CNN, sentences: list[Tensor], window: int, norm: list[nn.Module]) -> list[Tensor]:
    """Each sentence (time, dim) by itself through torch's convolution; all words together through the normalisation."""
    hidden = [torch.tanh(encoder.projection(sentence)) for sentence in sentences]
    for layer, normalise in zip(encoder.convolutions, norm, strict=True):
        weight = layer.weight.view(5, window, 5).transpose(1, 2)
        hidden = [
            nn.functional.conv1d(words.T[None], weight, layer.bias, padding=window // 2)[0].T.relu() for words in hidden
        ]
        normal = normalise(torch.cat(hidden))
        hidden = list(normal.split([len(words) for words in hidden]))
    return hidden


def settled(encoder: CNN) -> CNN:
    """As after training: averages of its own."""
    for norm in encoder.norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return encoder.eval()


@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("training", [True, False])
def test_states_are_those_of_torchs_convolutions_on_each_sentence(window: int, training: bool) -> None:
    encoder = settled(cnn(window=window)).train(training)
    norms = [nn.BatchNorm1d(5).double().train(training) for _ in encoder.norms]
    for own, other in zip(norms, encoder.norms, strict=True):
        own.load_state_dict(other.state_dict())
    sentences = [inputs_of()[row, :length] for row, length in enumerate(LENGTHS.tolist())]
    expected = plain(encoder, sentences, window, norms)
    states = encoder(inputs_of(), LENGTHS)
    for row, words in enumerate(expected):
        torch.testing.assert_close(states[row, : len(words)], words)
    for own, other in zip(norms, encoder.norms, strict=True):
        torch.testing.assert_close(own.state_dict(), other.state_dict())


def test_a_single_word_is_normalised_by_the_running_averages() -> None:
    encoder = settled(cnn())
    word = inputs_of()[:1, :1]
    expected = encoder(word, torch.tensor([1]))
    before = [norm.running_mean.clone() for norm in encoder.norms]
    encoder.train()
    torch.testing.assert_close(encoder(word, torch.tensor([1])), expected)
    for norm, mean in zip(encoder.norms, before, strict=True):
        assert torch.equal(norm.running_mean, mean)


@pytest.mark.parametrize("lengths", [[6, 4, 1], [1, 1], [1]])
def test_normalising_by_sums_is_the_same_for_words_gradients_and_averages(lengths: list[int]) -> None:
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    drawn = torch.randn(len(lengths), max(lengths), 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = []
    for normalise in (_normalised, _normalised_by_sums):
        norm = settled(cnn()).norms[0].train()
        words = drawn.masked_fill(~real[:, :, None], 7.0).requires_grad_()
        states = normalise(norm, words, real).masked_fill(~real[:, :, None], 0.0)
        gradients = torch.autograd.grad(states.square().sum() + states[0, 0, 0], [words, *norm.parameters()])
        found.append([states.detach(), *gradients, *norm.buffers()])
    averages = slice(-3, -1)
    torch.testing.assert_close(found[0][:-1], found[1][:-1])
    assert (len(real[real]) == 1) == torch.equal(found[0][averages][0], settled(cnn()).norms[0].running_mean)


def test_dropout_is_in_every_layer_and_only_in_training() -> None:
    dropping, plain_one = cnn(dropout=0.5), cnn()
    assert not torch.equal(dropping(inputs_of(), LENGTHS), plain_one(inputs_of(), LENGTHS))
    seen: list[bool] = []
    dropping.dropout.register_forward_hook(lambda _, given, taken: seen.append(bool((given[0] != taken).any())))
    dropping(inputs_of(), LENGTHS)
    assert seen == [True] * 3
    dropping.eval()
    dropping(inputs_of(), LENGTHS)
    assert seen == [True] * 3 + [False] * 3
