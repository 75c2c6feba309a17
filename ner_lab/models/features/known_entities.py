"""The baseline of the CoNLL-2003 shared task: entities of train, looked up."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ner_lab.data.batching.batch import Batch
from ner_lab.data.sentence import Sentence
from ner_lab.data.tags import Span, check_scheme, spans_of, tags_of
from ner_lab.data.vocab import FeatureVocab
from ner_lab.errors import UserError
from ner_lab.models.features.base import FeatureLayers, FeatureSet

_COLUMN = "known_entity"


class KnownEntities(FeatureSet):
    """Tags the longest phrases, from the left, that are entities in train, with their most frequent type.

    Tjong Kim Sang & De Meulder 2003, section 3.3. Case matters; of equally frequent types the first in alphabetical
    order is taken, which gives the published figures of the English test set.

    scheme: the tag scheme of training.
    """

    columns = (_COLUMN,)

    def __init__(self, *, scheme: str) -> None:
        self.scheme = check_scheme(scheme, "features.scheme")
        self._types: dict[tuple[str, ...], str] = {}
        self._longest: dict[str, int] = {}

    def learn(self, train: Sequence[Sentence]) -> list[list[Any]]:
        """[words, type] of every entity phrase of train."""
        seen: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for sentence in train:
            for span in spans_of(sentence.tags):
                seen[tuple(sentence.words[span.start : span.end])][span.type] += 1
        return [[list(words), min(types, key=lambda kind: (-types[kind], kind))] for words, types in seen.items()]

    def remember(self, learnt: list[list[Any]]) -> None:
        """Take the phrases."""
        self._types = {tuple(words): entity_type for words, entity_type in learnt}
        self._longest = {}
        for words in self._types:
            self._longest[words[0]] = max(len(words), self._longest.get(words[0], 0))

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """One column: the tag of the known entity at each word."""
        return [tags_of(self.find(sentence.words), len(sentence.words), self.scheme)]

    def find(self, words: Sequence[str]) -> list[Span]:
        """The known phrases in a sentence."""
        spans, start = [], 0
        while start < len(words):
            end = min(start + self._longest.get(words[start], 0), len(words))
            while end > start and tuple(words[start:end]) not in self._types:
                end -= 1
            if end > start:
                spans.append(Span(self._types[tuple(words[start:end])], start, end))
            start = max(end, start + 1)
        return spans

    def dims(self) -> dict[str, int | None]:
        """Orthogonal codes, when combined with other features."""
        return {_COLUMN: None}

    def layers(self, vocab: FeatureVocab, tags: Sequence[str]) -> "KnownEntityScores":
        """Used alone, the found tags go straight to the decoder."""
        values = vocab.columns[_COLUMN].items
        if missing := [value for value in values[2:] if value not in tags]:
            raise UserError(
                f"features.scheme is {self.scheme}, but the tags of train have no {', '.join(missing)}. "
                "Do not set features.scheme: it follows data.scheme."
            )
        return KnownEntityScores([tags.index(value) if value in tags else -1 for value in values], len(tags))


class KnownEntityScores(FeatureLayers):
    """Nothing for the encoder; only the found tag gets a score, one trained scale for all tags."""

    def __init__(self, tag_of: Sequence[int], num_tags: int) -> None:
        super().__init__({}, {})
        codes = torch.zeros(len(tag_of), num_tags)
        for value, tag in enumerate(tag_of):
            if tag >= 0:
                codes[value, tag] = 1.0
        self.register_buffer("codes", codes, persistent=False)
        self.scale = nn.Parameter(torch.ones(()))

    def direct(self, batch: Batch) -> Tensor:
        """-> `scale` at the found tag, 0 elsewhere (batch, time, tags)."""
        codes: Tensor = self.codes  # type: ignore[assignment]
        return self.scale * codes[batch.categories[:, :, 0]]
