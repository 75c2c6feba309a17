"""Common parts of count-based decoders: log p(word | tag), given from outside."""

from torch import Tensor

from ner_lab.errors import UserError
from ner_lab.models.layers.checks import check_positive


def counted_scores(direct: Tensor | None, decoder: str) -> Tensor:
    """direct (batch, time, tags), if they are log probabilities; otherwise UserError.

    Values are checked on a CPU only, without synchronisation; the scores of a trained tagger are log probabilities.
    """
    if direct is None or (direct.is_cpu and bool((direct > 0).any())):
        raise UserError(
            f"decoder={decoder} needs log p(word | tag), which some feature sets count. "
            "Use features=words, or features.wiring=counts with another set of sparse features."
        )
    return direct


def check_smoothing(smoothing: float) -> None:
    """Raise UserError if a count may stay zero."""
    check_positive("decoder", smoothing=smoothing, hint="No count may be zero.")


def gold_scores(scores: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """scores (batch, time, tags), tags (batch, time), mask -> the sum of the gold tags' scores (batch,)."""
    return (scores.gather(2, (tags * mask)[:, :, None]).squeeze(2) * mask).sum(dim=1)
