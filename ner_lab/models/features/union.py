"""Several feature sets combined, and where their sparse features go."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from torch import nn

from ner_lab.data.sentence import Sentence
from ner_lab.data.vocab import FeatureVocab
from ner_lab.errors import UserError, check_choice, invalid_value
from ner_lab.models.features.base import FeatureLayers, FeatureSet, SparseSum, code_sum, column_sizes
from ner_lab.models.layers.checks import check_int_range, check_positive
from ner_lab.models.layers.counts import CountedScores

WIRINGS = ("direct", "encoder", "counts")


class FeatureUnion(FeatureSet):
    """All features of its parts.

    parts: feature sets, each with a name.
    wiring: where sparse features go. `direct`: each has a trained score for every tag, bypassing the encoder (Huang et
    al. 2015, section 4.2.4); `encoder`: each has a trained vector of `dim` numbers, and a token's sum joins the
    encoder's input; `counts`: each has log p(feature | tag) for every tag, counted in train (for `decoder=hmm` and
    `naive_bayes`).
    dim: size of the vectors with `wiring=encoder`.
    smoothing: added to every count with `wiring=counts`.
    min_count: sparse features with fewer occurrences in train are left out.
    """

    def __init__(
        self, *, parts: Mapping[str, FeatureSet], wiring: str, dim: int, smoothing: float, min_count: int
    ) -> None:
        check_choice("features.wiring", wiring, WIRINGS)
        check_int_range(1, "features", dim=dim, min_count=min_count)
        check_positive("features", smoothing=smoothing, hint="No count may be zero.")
        if not isinstance(parts, Mapping):
            raise invalid_value("features.parts", parts, "feature sets by name", "For no features use features=none.")
        for name, part in parts.items():
            if not isinstance(part, FeatureSet):
                hint = "Give it a _target_, as in conf/features/caps.yaml."
                raise UserError(f"features.parts.{name} is not a feature set. {hint}")
        self.parts = dict(parts)
        self.wiring = wiring
        self.dim = dim
        self.smoothing = smoothing
        self.min_count = min_count
        self.columns = tuple(column for part in self.parts.values() for column in part.columns)
        self.reads = tuple(dict.fromkeys(name for part in self.parts.values() for name in part.reads))
        if len(set(self.columns)) < len(self.columns):
            raise UserError(
                f"features.parts: two parts have a column of the same name, among {', '.join(self.columns)}."
            )

    def learn(self, train: Sequence[Sentence]) -> dict[str, Any]:
        """What each part must learn from train."""
        return {name: part.learn(train) for name, part in self.parts.items()}

    def remember(self, learnt: dict[str, Any]) -> None:
        """Give each part the result of its `learn`."""
        for name, part in self.parts.items():
            part.remember(learnt[name])

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """The columns of all parts."""
        return [values for part in self.parts.values() for values in part.dense(sentence)]

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word, the features of all parts, once each."""
        by_part = [names for part in self.parts.values() if (names := part.sparse(sentence))]
        if len(by_part) < 2:
            return by_part[0] if by_part else []
        return [list(dict.fromkeys(chain.from_iterable(of_word))) for of_word in zip(*by_part, strict=True)]

    def dims(self) -> dict[str, int | None]:
        """Sizes of all parts' columns."""
        return {column: size for part in self.parts.values() for column, size in part.dims().items()}

    def layers(self, vocab: FeatureVocab, tags: Sequence[str]) -> FeatureLayers:
        """Layers with the sparse features wired as set."""
        scores: nn.Module | None = None
        vectors: nn.Module | None = None
        if not len(vocab.sparse):
            pass
        elif self.wiring == "direct":
            scores = SparseSum(len(vocab.sparse), len(tags))
        elif self.wiring == "counts":
            scores = CountedScores(vocab.sparse.items, len(tags), self.smoothing)
        else:
            vectors = SparseSum(len(vocab.sparse), self.dim)
        return FeatureLayers(column_sizes(vocab), self.dims(), scores=scores, vectors=vectors)

    def fingerprint(self) -> dict[str, Any]:
        """Fingerprints of the parts; the wiring does not change features."""
        parts = {name: part.fingerprint() for name, part in self.parts.items()}
        return {"class": "FeatureUnion", "code": code_sum(type(self)), "min_count": self.min_count, "parts": parts}
