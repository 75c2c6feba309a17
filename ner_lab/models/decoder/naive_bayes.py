"""Naive Bayes: each token's tag independently, from counts."""

from collections.abc import Sequence

from torch import Tensor, nn

from ner_lab.models.decoder.generative import check_smoothing, counted_scores, gold_scores
from ner_lab.models.layers.counts import CountTable, check_counts


class NaiveBayes(nn.Module):
    """log p(tag) + log p(features | tag) for each token, estimated by counting.

    The second term is the `direct` scores of a feature set with `wiring=counts`; the encoder's states are ignored.
    Trained with `optimizer=sgd_counts` (see `ner_lab.models.layers.counts`).

    tags: the tags by number. smoothing: added to every count of a tag.
    """

    trained_by_counting = True
    """Every epoch adds its counts to the previous ones: there must be exactly one."""

    def __init__(self, *, input_dim: int, tags: Sequence[str], scheme: str, smoothing: float) -> None:
        super().__init__()
        check_smoothing(smoothing)
        self.prior = CountTable(len(tags), smoothing=smoothing)

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """tags (batch, time), mask (batch, time) bool, direct (batch, time, tags) -> -log p(., tags) (batch,)."""
        return -gold_scores(counted_scores(direct, "naive_bayes") + self.prior(), tags, mask)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """mask (batch, time) bool, direct (batch, time, tags) -> best tags (batch, time), 0 at padding."""
        check_counts(self.prior.counts, "naive_bayes")
        return (counted_scores(direct, "naive_bayes") + self.prior()).argmax(dim=2) * mask
