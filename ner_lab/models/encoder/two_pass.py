"""The LSTM of Hammerton 2003 that reads a sentence twice."""

import torch
from torch import Tensor, nn

from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.masking import require_input
from ner_lab.models.layers.recurrent import Recurrence, check_cell, reorder


class TwoPassLSTM(nn.Module):
    """Left-to-right LSTM that reads the sentence twice (Hammerton 2003).

    The second pass starts from the final state of the first, and its states are the output: the end of the sentence is
    known from the first pass.

    input_dim: dimensions of a word's vector.
    hidden_dim: size of the state.
    input_dropout: on the words' vectors; both passes read the same.
    output_dropout: on the states of the second pass.
    cell, clip_gradient, forget_bias, learn_initial: see `Recurrence`.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        hidden_dim: int,
        input_dropout: float,
        output_dropout: float,
        cell: str,
        clip_gradient: float | None,
        forget_bias: float,
        learn_initial: bool,
    ) -> None:
        super().__init__()
        check_int_range(1, "encoder", hidden_dim=hidden_dim)
        check_probability("encoder", input_dropout=input_dropout, output_dropout=output_dropout)
        require_input(input_dim)
        check_cell("encoder", cell, clip_gradient)
        self.input_dropout = Dropout(input_dropout)
        self.output_dropout = Dropout(output_dropout)
        self.layer = Recurrence(
            cell,
            input_dim,
            hidden_dim,
            clip_gradient=clip_gradient,
            forget_bias=forget_bias,
            learn_initial=learn_initial,
        )
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs (batch, time, input_dim), lengths (batch,) -> (batch, time, hidden_dim)."""
        steps = torch.arange(2 * inputs.shape[1], device=inputs.device)
        # the sentence follows its own last word, wherever that is; what comes after the second pass is ignored
        twice = reorder(self.input_dropout(inputs), steps % lengths[:, None])
        states = self.layer(twice)  # (batch, 2 time, hidden_dim)
        return self.output_dropout(reorder(states, lengths[:, None] + steps[: inputs.shape[1]]))
