"""The networks of Collobert et al. 2011 against loops that read each word by itself."""

import pytest
import torch
from torch import Tensor, nn

import ner_lab.models.encoder.sentence as module
from ner_lab.models.encoder.sentence import SentenceNetwork
from ner_lab.models.encoder.window import WindowNetwork

LENGTHS = torch.tensor([6, 4, 1])
DIM = 4


def inputs_of() -> Tensor:
    return torch.randn(3, 6, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def window_network(window: int = 5) -> WindowNetwork:
    torch.manual_seed(0)
    return WindowNetwork(input_dim=DIM, hidden_dim=7, window=window, input_dropout=0.0).double()


def sentence_network(window: int = 5, max_distance: int = 3) -> SentenceNetwork:
    torch.manual_seed(0)
    sizes = {"num_filters": 9, "hidden_dim": 5, "distance_dim": 2, "window": window, "max_distance": max_distance}
    network = SentenceNetwork(input_dim=DIM, **sizes, input_dropout=0.0).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def word_at(sentence: Tensor, position: int, outside: Tensor) -> Tensor:
    return sentence[position] if 0 <= position < len(sentence) else outside[0]


def plain_window(network: WindowNetwork, sentence: Tensor, position: int, reach: int) -> Tensor:
    words = [word_at(sentence, position + shift, network.windows.outside) for shift in range(-reach, reach + 1)]
    return network.hidden[0](torch.cat(words)).clamp(-1, 1)


def plain_sentence(network: SentenceNetwork, sentence: Tensor, target: int, reach: int, farthest: int) -> Tensor:
    """One word's state: each word joined by its distance from it, each window convolved, the largest, the rest."""
    filtered = []
    for middle in range(len(sentence)):
        joined = []
        for position in range(middle - reach, middle + reach + 1):
            distance = max(-farthest, min(farthest, position - target))
            apart = network.distances.weight[distance + farthest]
            joined += [word_at(sentence, position, network.windows.outside), apart]
        filtered.append(network.convolution(torch.cat(joined)))
    return network.hidden(torch.stack(filtered).amax(dim=0)).clamp(-1, 1)


@pytest.mark.parametrize("window", [1, 3, 5])
def test_window_network_reads_each_word_with_its_neighbours(window: int) -> None:
    network, inputs = window_network(window), inputs_of()
    states = network(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        for position in range(length):
            expected = plain_window(network, inputs[row, :length], position, window // 2)
            torch.testing.assert_close(states[row, position], expected)


@pytest.mark.parametrize("at_once", [1, 500, 2**22], ids=["each target alone", "some targets", "all targets"])
@pytest.mark.parametrize(("window", "max_distance"), [(1, 1), (3, 3), (5, 2), (5, 9)])
def test_sentence_network_reads_the_sentence_for_each_word(
    window: int, max_distance: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    network, inputs = sentence_network(window, max_distance), inputs_of().requires_grad_()
    states = network(inputs, LENGTHS)
    expected = {
        (row, target): plain_sentence(network, inputs[row, :length], target, window // 2, max_distance)
        for row, length in enumerate(LENGTHS.tolist())
        for target in range(length)
    }
    for (row, target), state in expected.items():
        torch.testing.assert_close(states[row, target], state)
    wanted = [inputs, *network.parameters()]
    mask = torch.arange(6) < LENGTHS[:, None]
    oracle = torch.stack(list(expected.values()))
    gradients = [
        torch.autograd.grad(some.sin().sum(), wanted, materialize_grads=True) for some in (states[mask], oracle)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_without_a_hidden_layer_the_window_is_the_output() -> None:
    network = WindowNetwork(input_dim=DIM, hidden_dim=0, window=3, input_dropout=0.0).double()
    sentence = inputs_of()[:1, :4]
    states = network(sentence, torch.tensor([4]))
    assert network.output_dim == states.shape[2] == 3 * DIM
    for position in range(4):
        words = [word_at(sentence[0], position + step, network.windows.outside) for step in (-1, 0, 1)]
        torch.testing.assert_close(states[0, position], torch.cat(words))
