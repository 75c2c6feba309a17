"""The tagger: embedder, encoder, decoder, one after another."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.models.embedder import Embedder


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
