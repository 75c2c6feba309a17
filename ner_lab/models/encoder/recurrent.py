"""Recurrent encoders: LSTM and simple RNN, in one direction or both."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ner_lab.errors import check_choice
from ner_lab.models.layers.bidirectional import run_directions
from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.masking import require_input, require_layers
from ner_lab.models.layers.recurrent import Recurrence, ReverseSequences, check_cell


class RecurrentEncoder(nn.Module):
    """Layers of a recurrent cell in one or two directions; a subclass sets how many, and whether it is a simple RNN.

    input_dim: dimensions of a word's vector.
    hidden_dim: size of each direction.
    input_dropout: on the first layer's input (Ma & Hovy 2016; Lample et al. 2016).
    output_dropout: on the output of every layer (Ma & Hovy 2016; Chiu & Nichols 2016).
    stacks: `joint`, layer n + 1 reads both directions of layer n; or `separate`, each direction is a stack of its own
    (Chiu & Nichols 2016, section 2.1).
    cell, clip_gradient, forget_bias, learn_initial: see `Recurrence`; a simple RNN has one kind of cell and no forget
    gate.
    """

    simple: ClassVar[bool]
    directions: ClassVar[int]

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: int,
        num_layers: int,
        input_dropout: float,
        output_dropout: float,
        cell: str = "stock",
        clip_gradient: float | None = None,
        forget_bias: float = 0.0,
        learn_initial: bool = False,
        stacks: str = "joint",
    ) -> None:
        super().__init__()
        check_choice("encoder.stacks", stacks, ("joint", "separate"))
        require_layers(num_layers)
        check_int_range(1, "encoder", hidden_dim=hidden_dim)
        check_int_range(1, "encoder", most=100, num_layers=num_layers)
        check_probability("encoder", input_dropout=input_dropout, output_dropout=output_dropout)
        require_input(input_dim)
        check_cell("encoder", cell, clip_gradient)
        self.input_dropout = Dropout(input_dropout)
        self.output_dropout = Dropout(output_dropout)
        self.separate = stacks == "separate"
        self.parallel = False
        self.output_dim = self.directions * hidden_dim
        between = hidden_dim if self.separate else self.output_dim

        def stack() -> nn.ModuleList:
            dims = [input_dim, *[between] * (num_layers - 1)]
            return nn.ModuleList(
                Recurrence(
                    "rnn" if self.simple else cell,
                    dim,
                    hidden_dim,
                    clip_gradient=clip_gradient,
                    forget_bias=forget_bias,
                    learn_initial=learn_initial,
                )
                for dim in dims
            )

        self.ahead = stack()
        self.back = stack() if self.directions == 2 else nn.ModuleList()

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, input_dim), lengths (batch,) -> (batch, time, output_dim)."""
        forward = backward = self.input_dropout(inputs)
        if not self.back:
            for layer in self.ahead:
                forward = self.output_dropout(layer(forward))
            return forward
        reverse = ReverseSequences(lengths, inputs.shape[1])
        for layers in zip(self.ahead, self.back, strict=True):
            forward, backward = run_directions(*layers, forward, reverse(backward), parallel=self.parallel)
            backward = reverse(backward)
            if self.separate:
                forward, backward = self.output_dropout(forward), self.output_dropout(backward)
            else:
                forward = backward = self.output_dropout(torch.cat([forward, backward], dim=-1))
        return torch.cat([forward, backward], dim=-1) if self.separate else forward


class BiLSTM(RecurrentEncoder):
    """Bidirectional LSTM over the sentence (Huang et al. 2015, Lample et al. 2016, Ma & Hovy 2016).

    Arguments as in `RecurrentEncoder`.
    """

    simple = False
    directions = 2


class LSTM(RecurrentEncoder):
    """Left-to-right LSTM over the sentence (Huang et al. 2015, section 2.1). Arguments as in `RecurrentEncoder`."""

    simple = False
    directions = 1


class BiRNN(RecurrentEncoder):
    """Bidirectional simple RNN, the baseline of Ma & Hovy 2016, table 3. Arguments as in `RecurrentEncoder`."""

    simple = True
    directions = 2


class RNN(RecurrentEncoder):
    """Left-to-right simple RNN. Arguments as in `RecurrentEncoder`."""

    simple = True
    directions = 1
