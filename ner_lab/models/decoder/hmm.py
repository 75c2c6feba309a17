"""The hidden Markov model."""

from collections.abc import Sequence

from torch import Tensor, nn

from ner_lab.models.decoder.chain.viterbi import viterbi
from ner_lab.models.decoder.generative import check_smoothing, counted_scores, gold_scores
from ner_lab.models.layers.counts import CountTable, check_counts


class HMM(nn.Module):
    """log p(words, tags) of a first-order hidden Markov model, estimated by counting (Rabiner 1989).

    Tag transitions are counted in train. The emissions, log p(word | tag), are the `direct` scores of a feature set
    with `wiring=counts`; the encoder's states are ignored. Trained with `optimizer=sgd_counts` (see
    `ner_lab.models.layers.counts`).

    tags: the tags by number. smoothing: added to every count of a transition.
    """

    trained_by_counting = True
    """Every epoch adds its counts to the previous ones: there must be exactly one."""

    def __init__(self, *, input_dim: int, tags: Sequence[str], scheme: str, smoothing: float) -> None:
        super().__init__()
        check_smoothing(smoothing)
        self.start = CountTable(len(tags), smoothing=smoothing)
        self.following = CountTable(len(tags), len(tags) + 1, smoothing=smoothing)  # the last column: the end

    def transition_scores(self) -> dict[str, Tensor]:
        """-> log-probabilities: `start (tags,)`, `matrix (from, to)`, `end (tags,)`."""
        following = self.following().detach()
        return {"start": self.start().detach(), "matrix": following[:, :-1], "end": following[:, -1]}

    def loss(self, hidden: Tensor, tags: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """tags (batch, time), mask (batch, time) bool, direct (batch, time, tags) -> -log p(words, tags) (batch,)."""
        emissions = counted_scores(direct, "hmm")
        following = self.following()
        last = mask.sum(dim=1) - 1
        tags = tags * mask
        moved = following[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]
        ended = following[tags.gather(1, last[:, None]).squeeze(1), -1]
        return -(gold_scores(emissions, tags, mask) + self.start()[tags[:, 0]] + moved.sum(dim=1) + ended)

    def decode(self, hidden: Tensor, mask: Tensor, direct: Tensor | None = None) -> Tensor:
        """mask (batch, time) bool, direct (batch, time, tags) -> best tags (batch, time), 0 at padding."""
        check_counts(self.following.counts, "hmm")
        following = self.following()
        return viterbi(counted_scores(direct, "hmm"), mask, self.start(), following[:, :-1], following[:, -1])[0]
