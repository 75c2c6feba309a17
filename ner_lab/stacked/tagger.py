"""The taggers of all members as one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ner_lab.char_encoder.bilstm import CharBiLSTM
from ner_lab.char_encoder.cnn import CharCNN
from ner_lab.data.batch import Batch
from ner_lab.decoder.crf import CRF
from ner_lab.decoder.softmax import Softmax
from ner_lab.encoder.bilstm import BiLSTM
from ner_lab.encoder.lstm import LSTM
from ner_lab.encoder.none import NoEncoder
from ner_lab.features.base import FeatureLayers
from ner_lab.stacked.batch import StackedBatch
from ner_lab.stacked.char_cnn import StackedCharCNN
from ner_lab.stacked.decoders import StackedCRF, StackedSoftmax
from ner_lab.stacked.lookup import StackedColumns, StackedWordTable, pick
from ner_lab.stacked.no_encoder import StackedNoEncoder
from ner_lab.stacked.part import OneByOne, StackedPart
from ner_lab.stacked.recurrent import StackedCharBiLSTM, StackedRecurrentEncoder
from ner_lab.stacked.streams import Stream
from ner_lab.tagger import Tagger
from ner_lab.word_embedding.base import WordTable

FORMS: Mapping[type[nn.Module], type[StackedPart[Any]]] = {
    WordTable: StackedWordTable,
    CharCNN: StackedCharCNN,
    CharBiLSTM: StackedCharBiLSTM,
    FeatureLayers: StackedColumns,
    BiLSTM: StackedRecurrentEncoder,
    LSTM: StackedRecurrentEncoder,
    NoEncoder: StackedNoEncoder,
    Softmax: StackedSoftmax,
    CRF: StackedCRF,
}
"""A part's class -> what runs it for all members at once. Subclasses are other parts."""


class StackedTagger:
    """Losses of all members, each on its own batch, as its lone run computes them.

    taggers: of the members, built from one config but for seeds and numbers. streams: their random numbers.
    together: parts with a stacked form run as one; otherwise all members run one after another, as is best on a
        CPU, whose time goes into the same products either way.
    """

    def __init__(self, taggers: Sequence[Tagger], streams: Sequence[Stream], *, together: bool) -> None:
        self.taggers = list(taggers)
        self.streams = list(streams)
        self.parts: dict[str, StackedPart[Any]] = {}
        if together:
            embedders = [tagger.embedder for tagger in taggers]
            self.parts = {
                "words": self._part([e.words for e in embedders], lambda m, b: m(b.words)),
                "chars": self._part([e.chars for e in embedders], lambda m, b: m(b.chars, b.char_lengths)),
                "features": self._part([e.features for e in embedders], lambda m, b: m(b)),
                "encoder": self._part([t.encoder for t in taggers], lambda m, b, x: m(x, b.lengths)),
                "decoder": self._part([t.decoder for t in taggers], lambda m, b, x, d: m.loss(x, b.tags, b.mask, d)),
            }
            self.direct = OneByOne([e.features for e in embedders], self.streams, lambda m, b: m.direct(b))

    def _part(self, members: Sequence[Any], run: Callable[..., Tensor]) -> StackedPart[Any]:
        form = FORMS.get(type(members[0]))
        if form is None or not form.fits(members):
            return OneByOne(members, self.streams, run)
        return form(members, self.streams)

    def one_by_one(self) -> list[str]:
        """Parts that have weights and no stacked form: their members run one after another."""
        if not self.parts:
            return ["all"]
        return [
            name
            for name, part in self.parts.items()
            if isinstance(part, OneByOne) and any(True for _ in part.members[0].parameters())
        ]

    def losses(self, batches: Sequence[Batch]) -> Tensor:
        """A batch of each member -> the sum of its sentences' losses (members,)."""
        if not self.parts:
            return torch.stack(list(self._each(batches)))
        batch = StackedBatch(batches)
        parts = self.parts
        spelt = parts["chars"](batch)  # (members, forms, dim)
        vectors = torch.cat([parts["words"](batch), pick(spelt, batch.forms), parts["features"](batch)], dim=-1)
        hidden = parts["encoder"](batch, vectors)
        direct = self.direct(batch) if self.taggers[0].embedder.features.scores is not None else None
        losses = parts["decoder"](batch, hidden, direct)  # (members, batch)
        return torch.where(batch.rows, losses, 0.0).sum(dim=1)

    def _each(self, batches: Sequence[Batch]) -> Iterator[Tensor]:
        for tagger, batch, stream in zip(self.taggers, batches, self.streams, strict=True):
            with stream.running(batch.words.device):
                yield tagger(batch).sum()

    def hand_back(self) -> None:
        """After a backward pass: give each member's parameters their gradients."""
        for part in self.parts.values():
            for weights in part.weights:
                weights.hand_back()

    def forget(self) -> None:
        """Drop all gradients of a step; those of the members' parameters are the optimizer's to drop."""
        for part in self.parts.values():
            for weights in part.weights:
                weights.forget()
