"""The softmax decoder: every token's tag independently."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.models.decoder.chain.viterbi import viterbi
from ner_lab.models.decoder.constraints import allowed_moves, check_constraints, penalties_of
from ner_lab.models.decoder.projection import projection_of


class Softmax(nn.Module):
    """Linear layer (optionally after a tanh layer) and a softmax for each token.

    tags: the tags by number; scheme: their tag scheme.
    hidden_dim: size of the tanh layer; 0 for none.
    output: `linear`, or `per_direction`: the sum of the log-softmaxes of the encoder's two directions (Chiu & Nichols
    2016, section 2.1).
    constraints: `none`, or `decode`: the result is the most probable sequence in which every tag may follow the
    previous one (Chiu & Nichols 2016, the footnote on training without transitions).
    """

    penalties: Tensor

    def __init__(
        self, *, input_dim: int, tags: Sequence[str], scheme: str, hidden_dim: int, output: str, constraints: str
    ) -> None:
        super().__init__()
        self.projection = projection_of(input_dim, len(tags), hidden_dim, output)
        self.constraints = check_constraints(constraints, ("none", "decode"))
        self.register_buffer("penalties", penalties_of(allowed_moves(tags, scheme)), persistent=False)

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), tags (batch, time), mask (batch, time) bool -> (batch,).

        The negative log-likelihood of each sentence, summed over its tokens.
        """
        scores = self.projection(hidden, direct)
        per_token = F.cross_entropy(scores.transpose(1, 2), tags * mask, reduction="none")  # (batch, time)
        return (per_token * mask).sum(dim=1)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), mask (batch, time) bool -> best tags (batch, time), 0 at padding."""
        scores = self.projection(hidden, direct)
        if self.constraints == "none":
            return scores.argmax(dim=2) * mask
        moves = self.penalties
        return viterbi(scores, mask, moves[-1, :-1], moves[:-1, :-1], moves[:-1, -1])[0]
