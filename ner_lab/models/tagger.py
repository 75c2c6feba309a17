"""The tagger: embedder, encoder and decoder in sequence.

The embedder gives one vector per token: word, characters and dense features, concatenated.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.models.features.base import FeatureLayers

_MAX_CELLS = 2**17
"""Maximum cells of a batch's spellings (spellings times the longest of them) that are encoded together."""


class Embedder(nn.Module):
    """Concatenates the vectors of its parts. Characters are encoded once for each distinct spelling of a batch."""

    def __init__(self, words: nn.Module, chars: nn.Module, features: FeatureLayers) -> None:
        super().__init__()
        self.words = words
        self.chars = chars
        self.features = features
        self.spelling_dim: int = words.output_dim + chars.output_dim  # type: ignore[operator, assignment]
        self.output_dim: int = self.spelling_dim + features.output_dim

    def forward(self, batch: Batch) -> Tensor:
        """-> (batch, time, output_dim)."""
        spelt = self._spelt(batch.chars, batch.char_lengths)  # (forms, dim)
        parts = [self.words(batch.words), spelt[batch.forms], self.features(batch)]
        return torch.cat(parts, dim=-1)

    def _spelt(self, chars: Tensor, lengths: Tensor) -> Tensor:
        """chars (forms, characters), lengths (forms,) -> (forms, dim).

        If a very long word would pad all others, words of similar length are encoded together, to limit memory to that
        of their own characters.
        """
        if chars.numel() <= _MAX_CELLS:
            return self.chars(chars, lengths)
        widths, order = lengths.sort()
        parts = [
            self.chars(chars[rows, : int(own[-1])], own)
            for rows, own in zip(*(values.split(_parts(widths.tolist())) for values in (order, widths)), strict=True)
        ]
        return torch.cat(parts)[order.argsort()]

    def embed_words(self, words: Tensor, chars: Tensor, lengths: Tensor) -> Tensor:
        """The part of a word's vector that depends on its spelling alone, with which `forward`'s vectors begin.

        words (forms,), chars (forms, characters), lengths (forms,) -> (forms, spelling_dim).
        """
        return torch.cat([self.words(words[None]).squeeze(0), self.chars(chars, lengths)], dim=-1)


def _parts(widths: list[int]) -> list[int]:
    """The number of these words, sorted by length, in each part of at most `_MAX_CELLS`."""
    counts, count = [], 0
    for width in widths:
        if count and (count + 1) * width > _MAX_CELLS:
            counts.append(count)
            count = 0
        count += 1
    return [*counts, count]


@runtime_checkable
class _HasTransitionScores(Protocol):
    """A decoder that scores neighbouring tags by one matrix."""

    def transition_scores(self) -> dict[str, Tensor]: ...


class Tagger(nn.Module):
    """Any embedder, encoder and decoder; it depends on none of them by name."""

    def __init__(self, embedder: Embedder, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.embedder = embedder
        self.encoder = encoder
        self.decoder = decoder

    def losses(self, batch: Batch) -> Tensor:
        """-> the negative log-likelihood of each sentence's gold tags (batch,)."""
        hidden, direct = self._read(batch)
        return self.decoder.loss(hidden, batch.tags, batch.mask, direct)  # type: ignore[operator]

    def decode(self, batch: Batch) -> Tensor:
        """-> numbers of the best tags (batch, time), 0 at padding."""
        hidden, direct = self._read(batch)
        return self.decoder.decode(hidden, batch.mask, direct)  # type: ignore[operator]

    def decode_vectors(self, vectors: Tensor, lengths: Tensor, mask: Tensor) -> Tensor:
        """The result of `decode`, from the words' vectors; for a tagger without features.

        vectors (batch, time, dim), lengths (batch,), mask (batch, time) -> (batch, time), 0 at padding.
        """
        return self.decoder.decode(self.encoder(vectors, lengths), mask, None)  # type: ignore[operator]

    def losses_and_decode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The results of `losses` and `decode`, with one encoding of the batch."""
        hidden, direct = self._read(batch)
        losses = self.decoder.loss(hidden, batch.tags, batch.mask, direct)  # type: ignore[operator]
        return losses, self.decoder.decode(hidden, batch.mask, direct)  # type: ignore[operator]

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """-> hidden states (batch, time, dim), and scores of sparse features (batch, time, tags) or None."""
        return self.encoder(self.embedder(batch), batch.lengths), self.embedder.features.direct(batch)

    def forward(self, batch: Batch) -> Tensor:
        """The losses, so that wrappers which hook `forward` (DDP) see the training pass."""
        return self.losses(batch)

    def transition_scores(self) -> dict[str, Tensor] | None:
        """-> `start (tags,)`, `matrix (from, to)`, `end (tags,)`; None if no single matrix scores neighbouring tags."""
        for module in self.decoder.modules():
            if isinstance(module, _HasTransitionScores):
                return {name: scores.clone() for name, scores in module.transition_scores().items()}
        return None

    def parameter_counts(self) -> dict[str, tuple[int, int]]:
        """Part -> (trained parameters, all parameters)."""
        parts = {
            "word embedding": self.embedder.words,
            "char encoder": self.embedder.chars,
            "features": self.embedder.features,
            "encoder": self.encoder,
            "decoder": self.decoder,
        }
        return {
            name: (
                sum(parameter.numel() for parameter in part.parameters() if parameter.requires_grad),
                sum(parameter.numel() for parameter in part.parameters()),
            )
            for name, part in parts.items()
        }
