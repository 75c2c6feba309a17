"""Look-up tables of all members as one table."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ner_lab.features.base import FeatureLayers
from ner_lab.gradients import rows_alone
from ner_lab.stacked.batch import StackedBatch
from ner_lab.stacked.part import StackedPart
from ner_lab.stacked.streams import Stream
from ner_lab.word_embedding.base import WordTable


def look_up(tables: Tensor, numbers: Tensor) -> Tensor:
    """tables (members, rows, dim), numbers (members, ...) -> (members, ..., dim).

    Row 0 is padding, which is zero in every table and gets no gradient: all members read that of the first.
    """
    rows = tables.shape[1]
    return F.embedding(_placed(numbers, rows), tables.flatten(0, 1), padding_idx=0)


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """values (members, rows, dim), rows (members, batch, time) -> (members, batch, time, dim)."""
    begins = torch.arange(len(values), device=values.device) * values.shape[1]
    return F.embedding(rows + begins[:, None, None], values.flatten(0, 1))


def _placed(numbers: Tensor, rows: int) -> Tensor:
    begins = torch.arange(len(numbers), device=numbers.device) * rows
    return torch.where(numbers > 0, numbers + begins.view(-1, *[1] * (numbers.dim() - 1)), 0)


class StackedWordTable(StackedPart[WordTable]):
    """Word tables with whole gradients; where gradients are lists of rows (on a CPU), members run one by one."""

    def __init__(self, members: Sequence[WordTable], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        self.tables = self.stack([member.table for member in members])
        for member in members[1:]:
            member.known = members[0].known  # all have the same rows of the file
        self.known = members[0].known

    @classmethod
    def fits(cls, members: Sequence[WordTable]) -> bool:
        return not rows_alone(members[0].table)

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """-> (members, batch, time, dim)."""
        tables, words = self.tables.all, batch.words
        num_words = tables.shape[1]
        own = look_up(tables, words.clamp(max=num_words - 1))
        if not len(self.known):
            return own
        known = F.embedding((words - num_words).clamp(min=0), self.known)
        return torch.where((words >= num_words)[..., None], known, own)


class StackedColumns(StackedPart[FeatureLayers]):
    """Vectors of the dense columns; features that are lists (sparse ones) are read one member after another."""

    def __init__(self, members: Sequence[FeatureLayers], streams: Sequence[Stream]) -> None:
        super().__init__(members, streams)
        columns: Any = zip(*(member.tables for member in members), strict=True)
        self.tables = [self.stack([table.weight for table in tables]) for tables in columns]

    @classmethod
    def fits(cls, members: Sequence[FeatureLayers]) -> bool:
        return members[0].vectors is None

    def __call__(self, batch: StackedBatch, *inputs: Tensor | None) -> Tensor:
        """-> (members, batch, time, dim)."""
        parts = [look_up(table.all, batch.categories[..., column]) for column, table in enumerate(self.tables)]
        if not parts:
            return torch.zeros((*batch.words.shape, 0), device=batch.words.device)
        return torch.cat(parts, dim=-1)
