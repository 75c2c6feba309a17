"""Models estimated by counting, written so that a step of gradient descent counts.

The joint log-likelihood of such a model is a sum of log parameters, one for each event, so its derivative by a log
parameter is how often the event occurred. A table here stores the counts themselves and returns their smoothed log
relative frequencies, through which a gradient passes unchanged. With the sum of the losses, a learning rate of 1 and
one epoch (`optimizer=sgd_counts`), plain SGD therefore adds up exact counts, in one process or summed over many.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.errors import UserError


class CountTable(nn.Module):
    """Counts of the values of the last dimension, given those of the dimensions before it.

    smoothing: added to every count.
    """

    def __init__(self, *shape: int, smoothing: float) -> None:
        super().__init__()
        self.counts = nn.Parameter(torch.zeros(shape))
        self.smoothing = smoothing

    def forward(self) -> Tensor:
        """-> log probabilities, of the table's shape; they sum to 1 over the last dimension."""
        smooth = self.counts.detach() + self.smoothing
        return straight_through(torch.log(smooth / smooth.sum(dim=-1, keepdim=True)), self.counts)


class CountedScores(nn.Module):
    """log p(feature | tag) for sparse features named `template=value`, over the values of a template.

    The features of a token are assumed independent of each other given its tag.
    """

    def __init__(self, names: Sequence[str], num_tags: int, smoothing: float) -> None:
        super().__init__()
        templates: dict[str, int] = {}
        template_of = [templates.setdefault(name.partition("=")[0], len(templates)) for name in names]
        self.register_buffer("template", torch.tensor(template_of), persistent=False)
        self.num_templates = len(templates)
        self.counts = nn.Parameter(torch.zeros(len(names), num_tags))
        self.smoothing = smoothing

    def log_shares(self) -> Tensor:
        """-> (features, tags); the features of a template sum to 1 for each tag."""
        smooth = self.counts.detach() + self.smoothing
        template: Tensor = self.template  # type: ignore[assignment]
        totals = smooth.new_zeros(self.num_templates, smooth.shape[1]).index_add_(0, template, smooth)
        return straight_through(torch.log(smooth / totals[template]), self.counts)

    def forward(self, features: Tensor, offsets: Tensor) -> Tensor:
        """features (active,), offsets (tokens,) -> log p of each token's features (tokens, tags)."""
        return F.embedding_bag(features, self.log_shares(), offsets, mode="sum")


def straight_through(value: Tensor, counts: Tensor) -> Tensor:
    """`value`, with a straight-through gradient to `counts`."""
    return value.detach() + (counts - counts.detach())


def check_counts(counts: Tensor, decoder: str) -> None:
    """Raise UserError if a table holds anything but counts: another optimizer changed it."""
    counts = counts.detach()
    rounded = 1e-5 * counts.clamp(min=1)  # a mean over seven processes may differ from an integer in its last digits
    if bool(((counts < 0) | ((counts - counts.round()).abs() > rounded)).any()):
        raise UserError(
            f"decoder={decoder} must be trained by counting, but its tables hold numbers that are not counts. "
            "Use optimizer=sgd_counts trainer.max_epochs=1."
        )
