"""Character BiLSTM of Lample et al. 2016, section 4.1."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ner_lab.models.layers.bidirectional import run_directions
from ner_lab.models.layers.checks import check_int_range, check_probability
from ner_lab.models.layers.dropout import Dropout
from ner_lab.models.layers.init import glorot
from ner_lab.models.layers.recurrent import Recurrence, ReverseSequences, check_cell


class CharBiLSTM(nn.Module):
    """The last states of a forward and a backward LSTM over a word's characters, concatenated.

    chars: the characters by number (padding first).
    hidden_dim: size of each direction.
    cell, clip_gradient, forget_bias, learn_initial: see `Recurrence`.
    """

    def __init__(
        self,
        *,
        chars: Sequence[str],
        char_dim: int,
        hidden_dim: int,
        dropout: float,
        cell: str,
        clip_gradient: float | None,
        forget_bias: float,
        learn_initial: bool,
    ) -> None:
        super().__init__()
        check_int_range(1, "char_encoder", char_dim=char_dim, hidden_dim=hidden_dim)
        check_probability("char_encoder", dropout=dropout)
        check_cell("char_encoder", cell, clip_gradient)
        self.embedding = nn.Embedding(len(chars), char_dim, padding_idx=0)
        glorot(self.embedding.weight)
        with torch.no_grad():
            self.embedding.weight[0].zero_()
        self.dropout = Dropout(dropout)
        self.ahead, self.back = (
            Recurrence(
                cell,
                char_dim,
                hidden_dim,
                clip_gradient=clip_gradient,
                forget_bias=forget_bias,
                learn_initial=learn_initial,
            )
            for _ in range(2)
        )
        self.parallel = False
        self.output_dim = 2 * hidden_dim

    def forward(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """chars (forms, characters), lengths (forms,) -> (forms, 2 hidden_dim)."""
        vectors = self.dropout(self.embedding(chars))  # (forms, characters, char_dim)
        reversed_vectors = ReverseSequences(lengths, vectors.shape[1])(vectors)
        last = (lengths - 1)[:, None, None]
        ends = [
            states.gather(1, last.expand(-1, 1, states.shape[2])).squeeze(1)
            for states in run_directions(self.ahead, self.back, vectors, reversed_vectors, parallel=self.parallel)
        ]
        return torch.cat(ends, dim=-1)
