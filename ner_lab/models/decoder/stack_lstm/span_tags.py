"""Convert between tag numbers and the spans they represent, a full batch at once."""

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ner_lab.data.tags import OUTSIDE, Span, spans_of, split_tag, tags_of
from ner_lab.errors import UserError


class SpanTags(nn.Module):
    """Reads tags of a scheme as `ner_lab.data.tags.spans_of` does, and writes them as `tags_of` does.

    types: the entity types of `tags`; their indices in this list are their numbers.
    """

    type_of: Tensor
    opens: Tensor
    written: Tensor

    def __init__(self, tags: Sequence[str], scheme: str) -> None:
        super().__init__()
        self.types = sorted({split_tag(tag)[1] for tag in tags if tag != OUTSIDE})
        self.outside = list(tags).index(OUTSIDE)
        of_type = [-1 if tag == OUTSIDE else self.types.index(split_tag(tag)[1]) for tag in tags]
        self.register_buffer("type_of", torch.tensor(of_type), persistent=False)
        self.register_buffer("opens", torch.tensor([_opens(tag) for tag in tags]), persistent=False)
        self.register_buffer("written", _written(self.types, list(tags), scheme), persistent=False)

    def read(self, tags: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """tags (batch, time), mask (batch, time) -> type of each token, -1 for none; whether it begins a span."""
        tags = tags * mask
        types = self.type_of[tags].where(mask, -1)
        before = F.pad(types[:, :-1], (1, 0), value=-1)
        return types, (types >= 0) & (self.opens[tags] | (types != before))

    def write(self, spans: Tensor, types: Tensor) -> Tensor:
        """spans (batch, time) the number of each token's span, 0 for none; types (batch, time) -> tags (batch, time).

        Tokens of one number that are not adjacent are separate spans.
        """
        before, after = F.pad(spans, (1, 0))[:, :-1], F.pad(spans, (0, 1))[:, 1:]
        first, last = (spans != before).long(), (spans != after).long()
        touches = ((before > 0) & (types == F.pad(types, (1, 0))[:, :-1])).long()
        return self.written[types, first, last, touches].where(spans > 0, self.outside)


def _opens(tag: str) -> bool:
    """Whether `tag` begins a span in any position."""
    return len(spans_of([tag, tag])) == 2


def _written(types: Sequence[str], tags: list[str], scheme: str) -> Tensor:
    """-> (types, 2, 2, 2) tags by type, and whether a token is first in its span, last, and after a token of its
    type.
    """
    table = torch.zeros(max(len(types), 1), 2, 2, 2, dtype=torch.long)
    for (number, name), first, last, touches in product(enumerate(types), (0, 1), (0, 1), (0, 1)):
        before = [Span(name, 0, 1)] if first and touches else []
        span = Span(name, 1 if first else 0, 2 if last else 3)
        tag = tags_of([*before, span], 3, scheme)[1]
        if tag not in tags:
            raise UserError(f"the scheme {scheme} needs the tag {tag}, which is not among the tags {', '.join(tags)}.")
        table[number, first, last, touches] = tags.index(tag)
    return table
