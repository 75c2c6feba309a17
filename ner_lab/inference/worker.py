"""Tags one chunk of input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ner_lab.errors import UserError
from ner_lab.inference.batch_tagger import BatchTagger
from ner_lab.inference.chunks import Chunk
from ner_lab.inference.text_formats import InputFormat, InputSentence, NumberedLines


class ChunkResult(NamedTuple):
    """A processed chunk."""

    text: str
    """To be written"""
    read: int
    """Bytes of the input up to its end"""
    error: UserError | None = None
    """The error in the input after `text`"""


@dataclass(frozen=True)
class ChunkWorker:
    """Tags chunks of one input.

    name: of the input, for messages.
    """

    labeller: BatchTagger
    read: InputFormat
    write: Callable[[InputSentence, list[str]], str]
    name: str

    def __call__(self, chunk: Chunk) -> ChunkResult:
        """The output text for a chunk; on an error, for the part before it."""
        pieces: list[InputSentence] = []
        error = None
        try:
            for piece in self.read.pieces(self._text(chunk)):
                pieces.append(piece)  # one by one: pieces before an error are kept
        except UserError as found:
            error = found
        tags = self.labeller.tags([piece.words for piece in pieces])
        return ChunkResult("".join(map(self.write, pieces, tags)), chunk.read, error)

    def head(self, chunk: Chunk) -> Any:
        """What a chunk determines for all later chunks; None if it does not contain that."""
        return self.read.head(self._text(chunk)) if self.read.head is not None else None

    def _text(self, chunk: Chunk) -> NumberedLines:
        return NumberedLines(chunk.lines(self.name), self.name, chunk.before, chunk.head)
