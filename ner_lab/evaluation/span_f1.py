"""Span F1 over summed counts, as conlleval counts."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from ner_lab.data.tags import OPENED_BY_I, OUTSIDE, as_iob, follows_table, split_tag
from ner_lab.evaluation.precision_recall import percent, span_scores


class SpanF1(Metric):
    """Precision, recall and F1 of exact spans, per type and overall, in per cent.

    labels: the tags by index, in any scheme; they are read as conlleval reads them (see
        `ner_lab.data.tags`).
    scheme: the scheme that predictions should obey; sentences that violate it are counted.
    sync_on_compute: sum over processes in `compute`; False if one process scores alone.

    Only counts are kept and summed over processes. Scores are computed from the sums, so they are
    exact however the sentences were distributed.
    """

    full_state_update = False
    correct: Tensor
    predicted: Tensor
    gold: Tensor
    tokens: Tensor
    correct_tokens: Tensor
    sentences: Tensor
    improper: Tensor
    improper_iob2: Tensor

    def __init__(self, labels: Sequence[str], scheme: str, *, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        iob = [split_tag(tag) for tag in as_iob(labels)]
        self.types = sorted({entity_type for _, entity_type in iob} - {""})
        number = {entity_type: index for index, entity_type in enumerate(self.types)}
        # tables by label; the last row is the border between sentences
        self.register_buffer("begins", torch.tensor([letter == "B" for letter, _ in iob] + [False]), persistent=False)
        self.register_buffer("type_of", torch.tensor([number.get(t, -1) for _, t in iob] + [-1]), persistent=False)
        self.register_buffer("allowed", _allowed(labels, scheme), persistent=False)
        self.opened_by_i = scheme in OPENED_BY_I
        allowed_iob2 = _allowed(as_iob(labels), "IOB2") | self.opened_by_i  # written from spans, tags are always proper
        self.register_buffer("allowed_iob2", allowed_iob2, persistent=False)
        for name in ("correct", "predicted", "gold"):
            self.add_state(name, torch.zeros(len(self.types), dtype=torch.long), dist_reduce_fx="sum")
        for name in ("tokens", "correct_tokens", "sentences", "improper", "improper_iob2"):
            self.add_state(name, torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, gold: Tensor, mask: Tensor) -> None:
        """Add a batch; predicted, gold (batch, time) label indices; mask (batch, time) bool, True for a token."""
        border = len(self.begins) - 1  # type: ignore[arg-type]
        guess, truth = (_in_a_row(labels, mask, border) for labels in (predicted, gold))
        guess_starts, guess_ends, guess_types = self._spans(guess)
        gold_starts, gold_ends, gold_types = self._spans(truth)
        both = guess_starts & gold_starts & (guess_types == gold_types) & (guess_ends == gold_ends)
        # not in place: under ddp_spawn, += would write to memory shared between processes
        self.correct = self.correct + self._count(gold_types, both)
        self.predicted = self.predicted + self._count(guess_types, guess_starts)
        self.gold = self.gold + self._count(gold_types, gold_starts)
        self.tokens = self.tokens + mask.sum()
        same = (guess_types == gold_types) & (
            self._written_b(guess, guess_starts) == self._written_b(truth, gold_starts)
        )
        self.correct_tokens = self.correct_tokens + (same & (truth != border)).sum()
        self.sentences = self.sentences + mask.shape[0]
        self.improper = self.improper + _broken(guess, self.allowed, mask.shape)  # type: ignore[arg-type]
        self.improper_iob2 = self.improper_iob2 + _broken(guess, self.allowed_iob2, mask.shape)  # type: ignore[arg-type]

    def compute(self) -> dict[str, object]:
        """`precision`, `recall`, `f1`, `accuracy` in per cent, `per_type`, and the underlying counts."""
        result: dict[str, object] = span_scores(
            int(self.correct.sum()), int(self.predicted.sum()), int(self.gold.sum())
        )
        result["accuracy"] = percent(int(self.correct_tokens), int(self.tokens))
        result["tokens"] = int(self.tokens)
        result["sentences"] = int(self.sentences)
        result["improper_sequences"] = int(self.improper)
        result["improper_sequences_iob2"] = int(self.improper_iob2)
        counts = zip(self.correct.tolist(), self.predicted.tolist(), self.gold.tolist(), strict=True)
        result["per_type"] = {name: span_scores(*row) for name, row in zip(self.types, counts, strict=True)}
        return result

    def _spans(self, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """labels in one row -> (a span starts here, end of the span that runs here, type or -1)."""
        types = self.type_of[labels]  # type: ignore[index]
        inside = types >= 0
        before = torch.cat([types.new_full((1,), -1), types[:-1]])
        starts = inside & (self.begins[labels] | (types != before))  # type: ignore[index]
        stops = starts | ~inside  # any span before such a position ends there
        places = torch.arange(len(labels), device=labels.device)
        next_stop = torch.where(stops, places, len(labels)).flip(0).cummin(0).values.flip(0)
        ends = torch.cat([next_stop[1:], next_stop.new_full((1,), len(labels))])
        return starts, ends, types

    def _written_b(self, labels: Tensor, starts: Tensor) -> Tensor:
        """Positions where `ner_lab.data.tags.as_written` writes a B."""
        return starts if self.opened_by_i else self.begins[labels]  # type: ignore[index]

    def _count(self, types: Tensor, chosen: Tensor) -> Tensor:
        """Number of chosen positions per type; compared with each type, since indexing would make a GPU wait."""
        each = torch.arange(len(self.types), device=types.device)[:, None]
        return ((types == each) & chosen).sum(dim=1)


def _allowed(labels: Sequence[str], scheme: str) -> Tensor:
    return torch.tensor(follows_table([*labels, OUTSIDE], scheme))


def _in_a_row(labels: Tensor, mask: Tensor, border: int) -> Tensor:
    """Sentences concatenated in one row, each followed by at least one border."""
    fenced = torch.cat([labels.masked_fill(~mask, border), labels.new_full((labels.shape[0], 1), border)], dim=1)
    return fenced.ravel()


def _broken(labels: Tensor, allowed: Tensor, shape: torch.Size) -> Tensor:
    """Number of sentences with a transition that `allowed` forbids."""
    before = torch.cat([labels[-1:], labels[:-1]])  # the row's last label is a border
    return (~allowed[before, labels]).view(shape[0], shape[1] + 1).any(dim=1).sum()
