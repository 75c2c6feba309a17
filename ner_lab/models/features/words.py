"""The word itself, or its surface form if rare in train: the emissions of a hidden Markov model."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ner_lab.data.sentence import Sentence
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.features.caps import caps
from ner_lab.models.layers.checks import check_int_range


class Words(FeatureSet):
    """One sparse feature for each word: the word itself if frequent enough in train, otherwise a signature.

    A signature is the word's capitalisation class, whether it has a digit or a hyphen and whether it begins the
    sentence, with its last three, two or no characters: the longest one that train's rare words share. Its share is
    therefore estimated on words as rare as those it represents.

    frequent: occurrences in train from which a word represents itself.
    shared: number of rare words of train that a signature must have.
    """

    def __init__(self, *, frequent: int, shared: int) -> None:
        check_int_range(1, "features", frequent=frequent, shared=shared)
        self.frequent = frequent
        self.shared = shared
        self._words: set[str] = set()
        self._signatures: set[str] = set()

    def learn(self, train: Sequence[Sentence]) -> dict[str, list[str]]:
        """The frequent words, and the signatures of enough rare words."""
        counts = Counter(word for sentence in train for word in sentence.words)
        signatures = Counter(
            signature
            for sentence in train
            for index, word in enumerate(sentence.words)
            if counts[word] < self.frequent
            for signature in _signatures(word, index == 0)
        )
        return {
            "words": [word for word, number in counts.items() if number >= self.frequent],
            "signatures": [signature for signature, number in signatures.items() if number >= self.shared],
        }

    def remember(self, learnt: dict[str, Any]) -> None:
        """Take the words and signatures."""
        self._words = set(learnt["words"])
        self._signatures = set(learnt["signatures"])

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word its one feature, `word=...`; none for a word of unknown kind."""
        return [self._of(word, index == 0) for index, word in enumerate(sentence.words)]

    def _of(self, word: str, opens: bool) -> list[str]:
        if word in self._words:
            return [f"word={word}"]
        known = (signature for signature in _signatures(word, opens) if signature in self._signatures)
        return [f"word={signature}" for signature in [next(known, None)] if signature]


def _signatures(word: str, opens: bool) -> Iterator[str]:
    """From the most to the least specific; they begin with a blank, as no word does, so none equals a word."""
    marks = ["", caps(word)]
    marks += ["digit"] if any(map(str.isdigit, word)) else []
    marks += ["hyphen"] if "-" in word else []
    marks += ["first"] if opens else []
    shape = " ".join(marks)
    for size in (3, 2):
        if len(word) > size:
            yield f"{shape} -{word[-size:].lower()}"
    yield shape
