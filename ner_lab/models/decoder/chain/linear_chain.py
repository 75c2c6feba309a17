"""The linear-chain CRF: exact likelihood, marginals and best path over emissions.

score(tags) = start[tag_1] + sum_t emission[t, tag_t] + sum_t transition[tag_t, tag_t+1] + end[tag_n]
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ner_lab.models.decoder.chain import forward_backward
from ner_lab.models.decoder.chain.n_best import n_best
from ner_lab.models.decoder.chain.viterbi import viterbi
from ner_lab.models.decoder.constraints import FORBIDDEN, penalties_of


class LinearChainCRF(nn.Module):
    """Scores between neighbouring tags, and exact inference with them.

    Parameters: `start (tags,)`, `transitions (from, to)`, `end (tags,)`, initially zero; without `stop_score`, `end` is
    not a parameter and stays zero.
    `mask (batch, time)` is True for tokens, which precede all padding; every sentence has at least one token. Without a
    mask all positions are tokens.

    allowed: `allowed[i][j]` says whether tag j may follow tag i; row and column `num_tags` are the sentence boundary.
    It applies only to calls with `constrained=True`.
    """

    end: Tensor
    penalties: Tensor

    def __init__(
        self, num_tags: int, allowed: Sequence[Sequence[bool]] | None = None, *, stop_score: bool = True
    ) -> None:
        super().__init__()
        if num_tags < 1:
            raise ValueError(f"a CRF needs at least one tag; got {num_tags}")
        self.num_tags = num_tags
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        if stop_score:
            self.end = nn.Parameter(torch.zeros(num_tags))
        else:
            self.register_buffer("end", torch.zeros(num_tags), persistent=False)
        if allowed is None:
            allowed = [[True] * (num_tags + 1)] * (num_tags + 1)
        self.register_buffer("penalties", penalties_of(allowed), persistent=False)

    def transition_scores(self) -> dict[str, Tensor]:
        """-> `start (tags,)`, `matrix (from, to)`, `end (tags,)`, without the penalties of constraints."""
        return {"start": self.start.detach(), "matrix": self.transitions.detach(), "end": self.end.detach()}

    def log_likelihood(
        self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None, *, constrained: bool = False
    ) -> Tensor:
        """emissions (batch, time, tags), tags (batch, time) -> log p(tags | emissions) (batch,)."""
        mask = self._check(emissions, mask)
        if tags.shape != emissions.shape[:2]:
            raise ValueError(f"tags must be of shape {tuple(emissions.shape[:2])}; got {tuple(tags.shape)}")
        scores = self._scores(constrained, least=FORBIDDEN)
        return forward_backward.log_likelihood(emissions, tags, mask, *scores)

    @torch.no_grad()
    def log_partition(self, emissions: Tensor, mask: Tensor | None = None, *, constrained: bool = False) -> Tensor:
        """emissions (batch, time, tags) -> the log of the summed exponentials of all paths' scores (batch,)."""
        mask = self._check(emissions, mask)
        return forward_backward.log_partition(emissions, mask, *self._scores(constrained, least=FORBIDDEN))

    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """emissions (batch, time, tags) -> p(tag at each token) (batch, time, tags), 0 at padding."""
        mask = self._check(emissions, mask)
        return forward_backward.marginals(emissions, mask, *self._scores(False))

    def decode(
        self, emissions: Tensor, mask: Tensor | None = None, *, constrained: bool = False
    ) -> tuple[Tensor, Tensor]:
        """emissions (batch, time, tags) -> best tags (batch, time), 0 at padding, and score (batch,)."""
        mask = self._check(emissions, mask)
        return viterbi(emissions, mask, *self._scores(constrained))

    def n_best(
        self, emissions: Tensor, mask: Tensor | None, n: int, *, constrained: bool = False
    ) -> tuple[Tensor, Tensor]:
        """emissions (batch, time, tags) -> the n best paths (batch, n, time) and their scores (batch, n), best first.

        Padding has tag 0. If a sentence has fewer than n paths, the missing ones have score -inf.
        """
        return n_best(emissions, self._check(emissions, mask), *self._scores(constrained), n)

    def _check(self, emissions: Tensor, mask: Tensor | None) -> Tensor:
        if emissions.dim() != 3 or emissions.shape[2] != self.num_tags:
            raise ValueError(f"emissions must be of shape (batch, time, {self.num_tags}); got {tuple(emissions.shape)}")
        if mask is None:
            return torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
        if mask.shape != emissions.shape[:2]:
            raise ValueError(f"mask must be of shape {tuple(emissions.shape[:2])}; got {tuple(mask.shape)}")
        if mask.device.type == "cpu" and not bool(mask[:, 0].all()):  # on a GPU this would synchronise
            raise ValueError("every sentence needs a token: mask[:, 0] must be True")
        return mask.bool()

    def _scores(self, constrained: bool, least: float = -torch.inf) -> tuple[Tensor, Tensor, Tensor]:
        if not constrained:
            return self.start, self.transitions, self.end
        penalties = self.penalties.clamp(min=least)
        return (
            self.start + penalties[-1, :-1],
            self.transitions + penalties[:-1, :-1],
            self.end + penalties[:-1, -1],
        )
