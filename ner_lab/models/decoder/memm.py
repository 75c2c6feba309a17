"""The maximum entropy Markov model."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.errors import check_choice
from ner_lab.models.decoder.chain.pairwise import best_path, gold_pairs
from ner_lab.models.decoder.constraints import allowed_moves, check_constraints, penalties_of
from ner_lab.models.decoder.projection import PairProjection, Projection
from ner_lab.models.layers.checks import check_int_range


class MEMM(nn.Module):
    """A softmax over each token's tags, given the previous tag (McCallum, Freitag & Pereira 2000).

    Normalised at each step, whereas a CRF is normalised over the sequence: the probabilities of leaving a tag always
    sum to 1, however badly the token fits (the label bias of Lafferty et al. 2001, section 2). The first token's tag
    follows the sentence boundary; the end has no score.

    tags: the tags by number; scheme: their tag scheme.
    hidden_dim: size of a tanh layer before the scores; 0 for none.
    previous: `shared`: a score for the token and one for the pair of tags, as in a CRF; `each`: every previous tag has
    its own weights for the encoder's states, while scores of sparse features (`direct`) are the same after all of them.
    constraints: `none`, or `decode`: decoding excludes transitions that the scheme forbids.
    """

    penalties: Tensor

    def __init__(
        self, *, input_dim: int, tags: Sequence[str], scheme: str, hidden_dim: int, previous: str, constraints: str
    ) -> None:
        super().__init__()
        check_int_range(0, "decoder", hidden_dim=hidden_dim)
        check_choice("decoder.previous", previous, ("shared", "each"))
        self.constraints = check_constraints(constraints, ("none", "decode"))
        self.projection: nn.Module
        if previous == "each":
            self.projection = PairProjection(input_dim, len(tags) + 1, len(tags), hidden_dim)
        else:
            self.projection = SharedPairs(input_dim, len(tags), hidden_dim)
        self.register_buffer("penalties", penalties_of(allowed_moves(tags, scheme)), persistent=False)

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), tags (batch, time), mask (batch, time) bool -> (batch,).

        The negative log-likelihood of each sentence, summed over its tokens. direct (batch, time,
        tags): scores from sparse features.
        """
        return -gold_pairs(self._log_probabilities(hidden, direct), tags, mask).sum(dim=1)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), mask (batch, time) bool -> best tags (batch, time), 0 at padding."""
        penalties = None if self.constraints == "none" else self.penalties
        return best_path(self._log_probabilities(hidden, direct), mask, penalties)

    def _log_probabilities(self, hidden: Tensor, direct: Tensor | None) -> Tensor:
        """-> log p(tag | previous tag, token) (batch, time, tags + 1, tags)."""
        return F.log_softmax(self.projection(hidden, direct), dim=3)


class SharedPairs(nn.Module):
    """The sum of emission and transition: a score for every pair of a tag and the previous tag or the boundary."""

    def __init__(self, input_dim: int, num_tags: int, hidden_dim: int) -> None:
        super().__init__()
        self.emissions = Projection(input_dim, num_tags, hidden_dim)
        self.transitions = nn.Parameter(torch.zeros(num_tags + 1, num_tags))

    def forward(self, hidden: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), direct (batch, time, tags) or None -> (batch, time, tags + 1, tags)."""
        return self.emissions(hidden, direct)[:, :, None] + self.transitions
