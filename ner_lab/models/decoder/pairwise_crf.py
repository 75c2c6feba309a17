"""The CRF decoder with a weight vector for every pair of neighbouring tags."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.models.decoder.chain.pairwise import best_path, best_paths, gold_pairs, log_partition
from ner_lab.models.decoder.constraints import FORBIDDEN, allowed_moves, check_constraints, penalties_of
from ner_lab.models.decoder.projection import PairProjection
from ner_lab.models.layers.checks import check_int_range


class PairwiseCRF(nn.Module):
    """score(y', y, z) = W[y', y] . z + b[y', y] for each tag y after y' (Ma & Hovy 2016, section 2.3).

    The first token's tag follows the sentence boundary; the end has no score. Sparse features (`direct`) add their
    scores by the current tag alone.

    tags: the tags by number; scheme: their tag scheme.
    hidden_dim: size of a tanh layer before the scores; 0 for none.
    padding_label_in_sum: whether the boundary also counts as a tag that tokens may have in the partition sum, though no
    result ever has it.
    constraints: `none`; `decode`: decoding excludes transitions that the scheme forbids; `always`: so does the
    likelihood.
    """

    penalties: Tensor

    def __init__(
        self,
        *,
        input_dim: int,
        tags: Sequence[str],
        scheme: str,
        hidden_dim: int,
        padding_label_in_sum: bool,
        constraints: str,
    ) -> None:
        super().__init__()
        check_int_range(0, "decoder", hidden_dim=hidden_dim)
        self.constraints = check_constraints(constraints)
        self.num_tags = len(tags)
        self.num_summed = len(tags) + padding_label_in_sum
        self.projection = PairProjection(input_dim, len(tags) + 1, self.num_summed, hidden_dim)
        self.register_buffer("penalties", penalties_of(allowed_moves(tags, scheme)), persistent=False)

    def n_best(self, hidden: Tensor, mask: Tensor, n: int, direct: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """hidden (batch, time, dim), mask (batch, time) bool -> the n best tag sequences, best first.

        -> tags (batch, n, time), 0 at padding, and log p(tags) (batch, n), -inf if a sentence has fewer sequences. With
        `constraints=decode` only valid sequences are returned, with their probability among all sequences.
        """
        pairs = self._pairs(hidden, direct)
        penalties = None if self.constraints == "none" else self.penalties
        paths, scores = best_paths(pairs[..., : self.num_tags], mask, n, penalties)
        return paths, scores - self._log_z(self._summed(pairs, mask), mask).detach()[:, None]

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), tags (batch, time), mask (batch, time) bool -> (batch,).

        The negative log-likelihood of each sentence. direct (batch, time, tags): scores from sparse
        features.
        """
        pairs = self._summed(self._pairs(hidden, direct), mask)
        return self._log_z(pairs, mask) - gold_pairs(pairs, tags, mask).sum(dim=1)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), mask (batch, time) bool -> best tags (batch, time), 0 at padding."""
        pairs = self._pairs(hidden, direct)[..., : self.num_tags]
        return best_path(pairs, mask, None if self.constraints == "none" else self.penalties)

    def _pairs(self, hidden: Tensor, direct: Tensor | None) -> Tensor:
        """-> (batch, time, tags + 1, summed)."""
        if direct is not None:
            direct = F.pad(direct, (0, self.num_summed - self.num_tags))
        return self.projection(hidden, direct)

    def _log_z(self, pairs: Tensor, mask: Tensor) -> Tensor:
        return log_partition(pairs[:, 0, -1], pairs[:, :, : self.num_summed], mask)

    def _summed(self, pairs: Tensor, mask: Tensor) -> Tensor:
        """The scores in the partition sum, under constraints if they apply to it.

        If the boundary is in the sum, it may be wherever a sentence may start or end.
        """
        if self.constraints != "always":
            return pairs
        penalties = self.penalties.clamp(min=FORBIDDEN)
        into, out = penalties[:, : self.num_summed], penalties[: self.num_summed, -1]
        ends = mask & ~F.pad(mask, (0, 1))[:, 1:]  # a sentence's last token
        return pairs + into + ends[:, :, None, None] * out
