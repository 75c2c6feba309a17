"""The CRF decoder: emissions from a linear layer, then a linear-chain CRF."""

from collections.abc import Sequence

from torch import Tensor, nn

from ner_lab.models.decoder.chain.linear_chain import LinearChainCRF
from ner_lab.models.decoder.constraints import allowed_moves, check_constraints
from ner_lab.models.decoder.projection import projection_of

__all__ = ["CRF", "LinearChainCRF"]


class CRF(nn.Module):
    """Linear layer (optionally after a tanh layer) and linear-chain CRF.

    Lample et al. 2016, section 2.2; Huang et al. 2015, section 2.4; Chiu & Nichols 2016, section 2.6.2; Ma & Hovy 2016
    with emission plus transition scores in place of a weight vector for each pair of tags (that is `PairwiseCRF`).

    tags: the tags by number; scheme: their tag scheme.
    hidden_dim: size of a tanh layer before the linear one (Lample et al. 2016, section 2.3); 0 for none.
    output: `linear`, or `per_direction`: the sum of the log-softmaxes of the encoder's two directions (Chiu & Nichols
    2016, section 2.1).
    stop_score: whether the last tag has a stop score, as the first has a start score (Lample et al. 2016).
    constraints: `none`; `decode`: decoding excludes transitions that the scheme forbids; `always`: so does the
    likelihood.
    """

    def __init__(
        self,
        *,
        input_dim: int,
        tags: Sequence[str],
        scheme: str,
        hidden_dim: int,
        output: str,
        stop_score: bool,
        constraints: str,
    ) -> None:
        super().__init__()
        self.constraints = check_constraints(constraints)
        self.projection = projection_of(input_dim, len(tags), hidden_dim, output)
        self.chain = LinearChainCRF(len(tags), allowed_moves(tags, scheme), stop_score=stop_score)

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), tags (batch, time), mask (batch, time) bool -> (batch,).

        The negative log-likelihood of each sentence. direct (batch, time, tags): scores from sparse
        features, added to the emissions.
        """
        emissions = self.projection(hidden, direct)
        always = self.constraints == "always"
        return -self.chain.log_likelihood(emissions, tags, mask, constrained=always)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """hidden (batch, time, dim), mask (batch, time) bool -> best tags (batch, time), 0 at padding."""
        emissions = self.projection(hidden, direct)
        return self.chain.decode(emissions, mask, constrained=self.constraints != "none")[0]

    def n_best(self, hidden: Tensor, mask: Tensor, n: int, direct: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """hidden (batch, time, dim), mask (batch, time) bool -> the n best tag sequences, best first.

        -> tags (batch, n, time), 0 at padding, and log p(tags) (batch, n), -inf if a sentence has fewer sequences. With
        `constraints=decode` only valid sequences are returned, with their probability among all sequences.
        """
        emissions = self.projection(hidden, direct)
        paths, scores = self.chain.n_best(emissions, mask, n, constrained=self.constraints != "none")
        log_z = self.chain.log_partition(emissions, mask, constrained=self.constraints == "always")
        return paths, scores - log_z[:, None]
