"""Sentence encoders: ragged batches, directions, stacks, dropout; torch's packed networks as the oracle."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ner_lab.models.encoder.cnn import CNN
from ner_lab.models.encoder.none import NoEncoder
from ner_lab.models.encoder.recurrent import LSTM, RNN, BiLSTM, BiRNN, RecurrentEncoder
from ner_lab.models.encoder.sentence import SentenceNetwork
from ner_lab.models.encoder.two_pass import TwoPassLSTM
from ner_lab.models.encoder.window import WindowNetwork
from ner_lab.models.layers.dropout import Dropout

LENGTHS = torch.tensor([5, 3, 1])
MASK = torch.arange(5) < LENGTHS[:, None]


def bilstm(**options: Any) -> BiLSTM:
    return BiLSTM(**_options(options, forget_bias=1.0, stacks="joint"))


def lstm(**options: Any) -> LSTM:
    return LSTM(**_options(options, forget_bias=1.0))


def birnn(**options: Any) -> BiRNN:
    return BiRNN(**_options(options))


def rnn(**options: Any) -> RNN:
    return RNN(**_options(options))


def _options(given: dict[str, Any], **own: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    common = {"input_dim": 4, "hidden_dim": 3, "num_layers": 1, "learn_initial": False}
    return common | {"input_dropout": 0.0, "output_dropout": 0.0} | own | given


def separate(**options: Any) -> BiLSTM:
    return bilstm(stacks="separate", **options)


def peephole(**options: Any) -> BiLSTM:
    return bilstm(cell="peephole", **options)


def coupled(**options: Any) -> BiLSTM:
    return separate(cell="coupled", **options)


def clipped(**options: Any) -> LSTM:
    return lstm(clip_gradient=0.1, **options)


def clipped_rnn(**options: Any) -> BiRNN:
    return birnn(**{"clip_gradient": 0.1} | options)


def two_pass(**options: Any) -> TwoPassLSTM:
    own = {"cell": "stock", "clip_gradient": None, "forget_bias": 1.0}
    return TwoPassLSTM(**{key: value for key, value in _options(options, **own).items() if key != "num_layers"})


def window(**options: Any) -> WindowNetwork:
    torch.manual_seed(0)
    return WindowNetwork(input_dim=4, hidden_dim=3, window=3, input_dropout=options.get("input_dropout", 0.0))


def sentence_network(**options: Any) -> SentenceNetwork:
    torch.manual_seed(0)
    sizes = {"num_filters": 40, "window": 3, "hidden_dim": 5, "distance_dim": 2, "max_distance": 2}
    return SentenceNetwork(input_dim=4, **sizes, input_dropout=options.get("input_dropout", 0.0))


def cnn(**options: Any) -> CNN:
    torch.manual_seed(0)
    encoder = CNN(
        input_dim=4,
        hidden_dim=3,
        num_layers=options.get("num_layers", 2),
        window=3,
        input_dropout=options.get("input_dropout", 0.0),
        dropout=0.0,
    )
    return encoder.eval()  # in training the batch normalisation depends on batch mates


def none(**options: Any) -> NoEncoder:
    return NoEncoder(input_dim=4, input_dropout=options.get("input_dropout", 0.0))


RECURRENT = [bilstm, separate, birnn, lstm, rnn, peephole, coupled, clipped, clipped_rnn]
FURTHER = [two_pass, window, sentence_network, cnn]

Make = Callable[..., RecurrentEncoder]


def inputs_of(seed: int = 0) -> Tensor:
    return torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("make", [*RECURRENT, *FURTHER])
def test_a_padded_batch_gives_the_gradients_of_its_sentences_alone(make: Make) -> None:
    encoder = make(num_layers=2, learn_initial=True).double()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    inputs = inputs_of().double()
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    together = torch.autograd.grad(encoder(inputs, LENGTHS)[MASK].sin().sum(), trained)
    alone = [
        torch.autograd.grad(encoder(inputs[row, None, :length], LENGTHS[row, None]).sin().sum(), trained)
        for row, length in enumerate(LENGTHS.tolist())
    ]
    for found, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(found, sum(parts))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("make", "module"), [(bilstm, nn.LSTM), (birnn, nn.RNN), (lstm, nn.LSTM), (rnn, nn.RNN)])
def test_states_equal_torchs_packed_network_with_the_same_weights(
    make: Make, module: type[nn.RNNBase], layers: int
) -> None:
    encoder = make(num_layers=layers)
    oracle = module(4, 3, layers, batch_first=True, bidirectional=len(encoder.back) > 0)
    for stack, ending in ((encoder.ahead, ""), (encoder.back, "_reverse")):
        for number, layer in enumerate(stack):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(oracle, f"{name}_l{number}{ending}").data = getattr(layer.cell, f"{name}_l0").data
    inputs = inputs_of().requires_grad_()
    packed = pack_padded_sequence(inputs, LENGTHS, batch_first=True)
    expected, _ = pad_packed_sequence(oracle(packed)[0], batch_first=True)
    found = encoder(inputs, LENGTHS)
    torch.testing.assert_close(found[MASK], expected[MASK])
    gradients = [torch.autograd.grad(states[MASK].square().sum(), inputs)[0] for states in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_separate_stacks_are_two_independent_networks() -> None:
    encoder = separate(num_layers=2)
    halves = []
    for stack, turn in ((encoder.ahead, False), (encoder.back, True)):
        oracle = nn.LSTM(4, 3, 2, batch_first=True)
        for number, layer in enumerate(stack):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(oracle, f"{name}_l{number}").data = getattr(layer.cell, f"{name}_l0").data
        sentence = inputs_of()[:1].flip(1) if turn else inputs_of()[:1]
        states = oracle(sentence)[0]
        halves.append(states.flip(1) if turn else states)
    torch.testing.assert_close(encoder(inputs_of()[:1], torch.tensor([5])), torch.cat(halves, dim=-1))


@pytest.mark.parametrize("make", [*RECURRENT, *FURTHER, none])
def test_dropout_is_off_in_eval(make: Make) -> None:
    encoder, plain = make(input_dropout=0.5, output_dropout=0.5), make()
    encoder.load_state_dict(plain.state_dict())
    encoder.eval()
    assert torch.equal(encoder(inputs_of(), LENGTHS)[MASK], plain(inputs_of(), LENGTHS)[MASK])


@pytest.mark.parametrize("make", [*RECURRENT, two_pass])
def test_output_dropout_drops_or_doubles_single_outputs_in_training(make: Make) -> None:
    encoder = make(output_dropout=0.5)
    dropped = encoder(inputs_of(), LENGTHS)
    encoder.eval()
    full = encoder(inputs_of(), LENGTHS)
    kept = dropped != 0
    assert 0 < kept.sum() < kept.numel()
    torch.testing.assert_close(dropped, 2 * full * kept)


@pytest.mark.parametrize("make", [*RECURRENT, two_pass, window, sentence_network, none])
def test_input_dropout_changes_what_is_read_in_training(make: Make) -> None:
    encoder, plain = make(input_dropout=0.5), make()
    encoder.load_state_dict(plain.state_dict())
    torch.manual_seed(1)
    found = encoder(inputs_of(), LENGTHS)
    torch.manual_seed(1)
    read = Dropout(0.5)(inputs_of())
    assert torch.equal(found, plain(read, LENGTHS))
    assert not torch.equal(found, plain(inputs_of(), LENGTHS))


def test_the_second_pass_starts_from_the_final_state_of_the_first() -> None:
    encoder = two_pass()
    cell = nn.LSTM(4, 3, batch_first=True)
    cell.load_state_dict(encoder.layer.cell.state_dict())
    states = encoder(inputs_of(), LENGTHS)
    assert states.shape == (3, 5, 3)
    for row, length in enumerate(LENGTHS.tolist()):
        sentence = inputs_of()[row : row + 1, :length]
        first, end = cell(sentence)
        second, _ = cell(sentence, end)
        torch.testing.assert_close(states[row, :length], second[0])
        assert not torch.allclose(states[row, :length], first[0])


@pytest.mark.parametrize("cell", ["stock", "peephole", "coupled"])
def test_reading_a_doubled_sentence_once_is_reading_it_twice(cell: str) -> None:
    encoder = two_pass(cell=cell, learn_initial=True)
    nn.init.normal_(encoder.layer.initial)
    sentence = inputs_of()[:1]
    doubled = encoder.layer(torch.cat([sentence, sentence], dim=1))
    torch.testing.assert_close(encoder(sentence, LENGTHS[:1]), doubled[:, 5:])
