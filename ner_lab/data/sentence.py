"""The parts of a corpus: sentences of words with tags, in three splits."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ner_lab.data.tags import spans_of

SPLITS = ("train", "dev", "test")


@dataclass(slots=True)
class Sentence:
    """One sentence as it is in its file."""

    words: list[str]
    tags: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)
    """Additional columns by name (`pos`, `chunk`), one value per word."""
    document: int = -1
    """Number of its document within the file, from 0; -1 if the file marks no documents."""
    line: int = 0
    """Line of its first word, from 1."""
    lines_a_word: int = 1
    """1 if each word has its own line, 0 if the sentence is on one line."""

    def line_of(self, word: int) -> int:
        """The line of a word, counted from 0 within the sentence."""
        return self.line + word * self.lines_a_word


@dataclass(slots=True)
class Split:
    """The sentences of one split and the path they were read from."""

    name: str
    path: str
    sentences: list[Sentence]
    scheme: str
    """The scheme of its tags."""
    held_out_of: str = ""
    """The file of train from which this split was held out; empty for a split with its own file."""
    remarks: list[str] = field(default_factory=list)
    """Doubtful properties found by its reader, one line each"""

    def place(self, sentence: Sentence, word: int = 0) -> str:
        """FILE:LINE of a word."""
        return f"{self.held_out_of or self.path}:{sentence.line_of(word)}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Size of a split, counted as in the shared tasks: `-DOCSTART-` lines are not sentences."""

    documents: int
    sentences: int
    tokens: int
    entities: int
    per_type: dict[str, int]

    @classmethod
    def of(cls, sentences: Iterable[Sentence]) -> "Counts":
        documents: set[int] = set()
        per_type: Counter[str] = Counter()
        number = tokens = 0
        for sentence in sentences:
            documents.add(sentence.document)
            if sentence.words == [DOCSTART]:
                continue
            number += 1
            tokens += len(sentence.words)
            per_type.update(span.type for span in spans_of(sentence.tags))
        ordered = dict(sorted(per_type.items()))
        return cls(len(documents - {-1}), number, tokens, per_type.total(), ordered)


DOCSTART = "-DOCSTART-"
