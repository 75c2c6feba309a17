"""LSTM layers of all members, and of both directions, as one."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ner_lab.char_encoder.bilstm import CharBiLSTM
from ner_lab.encoder.recurrent import RecurrentEncoder
from ner_lab.recurrence.cells import SteppedLSTM
from ner_lab.recurrence.layer import Recurrence, Turn
from ner_lab.stacked.batch import StackedBatch
from ner_lab.stacked.lookup import look_up
from ner_lab.stacked.lstm_steps import StackedLSTMSteps
from ner_lab.stacked.part import StackedPart
from ner_lab.stacked.streams import Stream, drop
from ner_lab.stacked.weights import StackedWeights


class StackedRecurrence:
    """LSTM layers of one size side by side: those of all members forwards, then those of all backwards."""

    def __init__(self, layers: Sequence[Recurrence], stack: Callable[[Sequence[Any]], StackedWeights]) -> None:
        cells = [layer.cell for layer in layers]
        self.given = stack([cell.weight_ih_l0 for cell in cells])
        self.recurrent = stack([cell.weight_hh_l0 for cell in cells])
        self.bias = stack([cell.bias_ih_l0 for cell in cells])  # torch's second bias stays zero
        initial = [layer.initial for layer in layers]
        self.initial = None if initial[0] is None else stack(initial)
        self.clip = getattr(cells[0], "clip_gradient", None)

    @staticmethod
    def fits(layer: Recurrence) -> bool:
        """Whether it has the stock cell."""
        cell = layer.cell
        return isinstance(cell, nn.LSTM) or (isinstance(cell, SteppedLSTM) and cell.peepholes is None)

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs (cells, batch, time, input_dim) -> states (cells, batch, time, hidden_dim)."""
        cells, batch, time, _ = inputs.shape
        recurrent = self.recurrent.all
        rows = inputs.transpose(1, 2).flatten(1, 2)  # (cells, time * batch, input_dim)
        given = torch.baddbmm(self.bias.all[:, None], rows, self.given.all.transpose(1, 2))
        given = given.to(recurrent.dtype)  # under autocast the loop stays in full precision
        if self.initial is None:
            state = memory = recurrent.new_zeros(cells, batch, recurrent.shape[2])
        else:
            state, memory = (part[:, None].expand(-1, batch, -1) for part in self.initial.all.unbind(1))
        steps = given.view(cells, time, batch, -1).transpose(0, 1)
        states = StackedLSTMSteps.apply(steps, recurrent, state, memory, self.clip)
        return states.permute(1, 2, 0, 3)


class Turned:
    """Turns round each sentence of all members, as `Turn`; lengths (members, batch)."""

    def __init__(self, lengths: Tensor, time: int) -> None:
        self.turn = Turn(lengths.flatten(), time)

    def __call__(self, values: Tensor) -> Tensor:
        """values (members, batch, time, dim) -> the same shape."""
        return self.turn(values.flatten(0, 1)).unflatten(0, values.shape[:2])


class StackedRecurrentEncoder(StackedPart[RecurrentEncoder]):
    """`BiLSTM` and `LSTM` with the stock cell."""

    def __init__(self, members: Sequence[RecurrentEncoder], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        first = members[0]
        self.both = len(first.back) > 0
        self.separate = first.separate
        ways: list[Any] = [member.ahead for member in members]
        ways += [member.back for member in members if self.both]
        self.layers = [
            StackedRecurrence([layers[depth] for layers in ways], self.stack) for depth in range(len(first.ahead))
        ]

    @classmethod
    def fits(cls, members: Sequence[RecurrentEncoder]) -> bool:
        layers: Any = [*members[0].ahead, *members[0].back]
        return all(StackedRecurrence.fits(layer) for layer in layers)

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """inputs (members, batch, time, input_dim) -> (members, batch, time, output_dim)."""
        (given,) = inputs
        assert given is not None
        ahead = back = drop(given, [member.input_dropout for member in self.members], batch.sizes, self.streams)
        if not self.both:
            for layer in self.layers:
                ahead = self._drop(layer(ahead), batch)
            return ahead
        turn = Turned(batch.lengths, given.shape[2])
        for layer in self.layers:
            ahead, back = layer(torch.cat([ahead, turn(back)])).chunk(2)
            back = turn(back)
            if self.separate:
                ahead, back = self._drop(ahead, batch), self._drop(back, batch)
            else:
                ahead = back = self._drop(torch.cat([ahead, back], dim=-1), batch)
        return torch.cat([ahead, back], dim=-1) if self.separate else ahead

    def _drop(self, values: Tensor, batch: StackedBatch) -> Tensor:
        return drop(values, [member.output_dropout for member in self.members], batch.sizes, self.streams)


class StackedCharBiLSTM(StackedPart[CharBiLSTM]):
    """`CharBiLSTM` with the stock cell."""

    def __init__(self, members: Sequence[CharBiLSTM], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        self.table = self.stack([member.embedding.weight for member in members])
        layers = [*(member.ahead for member in members), *(member.back for member in members)]
        self.layer = StackedRecurrence(layers, self.stack)

    @classmethod
    def fits(cls, members: Sequence[CharBiLSTM]) -> bool:
        return StackedRecurrence.fits(members[0].ahead)

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """-> (members, forms, 2 hidden_dim)."""
        letters = look_up(self.table.all, batch.chars)
        letters = drop(letters, [member.dropout for member in self.members], batch.spellings, self.streams)
        turned = Turned(batch.char_lengths, letters.shape[2])(letters)
        last = (batch.char_lengths - 1)[:, :, None, None]
        states = self.layer(torch.cat([letters, turned]))
        ends = [way.gather(2, last.expand(-1, -1, 1, way.shape[3])).squeeze(2) for way in states.chunk(2)]
        return torch.cat(ends, dim=-1)
