"""Context features of Huang et al. 2015, section 4.2.2: n-grams of words, part-of-speech and chunk tags."""

from collections.abc import Mapping, Sequence

from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.models.features.base import FeatureSet

_BEFORE, _AFTER = "<s>", "</s>"


class Context(FeatureSet):
    """N-grams around each word, on/off.

    ngrams: for `word` and for each additional column of the corpus, the n-grams as lists of positions relative to the
    word: `[0]` the word itself, `[-1, 0]` the bigram that ends in it. A column that the corpus lacks has no features.
    An n-gram completely outside the sentence is left out.
    lowercase: words in lower case.
    """

    def __init__(self, *, ngrams: Mapping[str, Sequence[Sequence[int]]], lowercase: bool) -> None:
        for column, listed in ngrams.items():
            _check(column, listed)
        self.ngrams = {column: list(dict.fromkeys(map(tuple, listed))) for column, listed in ngrams.items()}
        self.lowercase = lowercase
        self.reads = tuple(column for column, listed in self.ngrams.items() if listed and column != "word")

    def sparse(self, sentence: Sentence) -> list[list[str]]:
        """For each word, the n-grams at it: `word:-1+0=the\\tking`."""
        names: list[list[str]] = [[] for _ in sentence.words]
        for column, listed in self.ngrams.items():
            values = self._values(sentence, column)
            if values is None:
                continue
            reach = max((abs(offset) for offsets in listed for offset in offsets), default=0)
            padded = [*[_BEFORE] * reach, *values, *[_AFTER] * reach]
            for offsets in listed:
                self._add(names, padded, reach, offsets, f"{column}:{'+'.join(map(str, offsets))}=")
        return names

    def _values(self, sentence: Sentence, column: str) -> list[str] | None:
        if column != "word":
            return sentence.columns.get(column)
        return [word.lower() for word in sentence.words] if self.lowercase else sentence.words

    @staticmethod
    def _add(names: list[list[str]], padded: list[str], reach: int, offsets: tuple[int, ...], template: str) -> None:
        length = len(names)
        inside: set[int] = set().union(*(range(max(0, -offset), length - max(0, offset)) for offset in offsets))
        shifted = [padded[reach + offset : reach + offset + length] for offset in offsets]
        for word, values in enumerate(zip(*shifted, strict=True)):
            if word in inside:
                names[word].append(template + "\t".join(values))


def _check(column: str, listed: object) -> None:
    """Raise UserError if `listed` is not a list of lists of integers."""
    for ngram in listed if isinstance(listed, list | tuple) else [listed]:
        if not isinstance(ngram, list | tuple) or not ngram or not all(isinstance(offset, int) for offset in ngram):
            raise UserError(
                f"features: ngrams.{column} must be a list of n-grams, each a list of positions, such as "
                f"ngrams.{column}=[[0],[-1,0]]; got '{ngram}'."
            )
