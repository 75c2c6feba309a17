"""An LSTM that reads twice: against the same cell run over the sentence and over the sentence again by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ner_lab.models.encoder.two_pass import TwoPassLSTM

LENGTHS = torch.tensor([5, 3, 1])


def two_pass(**options: Any) -> TwoPassLSTM:
    torch.manual_seed(0)
    common = {"input_dim": 4, "hidden_dim": 3, "input_dropout": 0.0, "output_dropout": 0.0, "forget_bias": 1.0}
    further = {"cell": "stock", "clip_gradient": None, "learn_initial": False}
    return TwoPassLSTM(**common | further | options)


def inputs_of() -> Tensor:
    return torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))


def test_the_second_pass_goes_on_from_where_the_first_has_ended() -> None:
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
