"""Context features of Huang et al. 2015, section 4.2.2: n-grams of words, part-of-speech and chunk tags."""

from collections.abc import Mapping, Sequence

from ner_lab.data.sentence import Sentence
from ner_lab.errors import UserError
from ner_lab.models.features.base import FeatureSet

_BEFORE, _BEHIND = "<s>", "</s>"


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
        found: list[list[str]] = [[] for _ in sentence.words]
        for column, listed in self.ngrams.items():
            values = self._values(sentence, column)
            if values is None:
                continue
            reach = max((abs(place) for places in listed for place in places), default=0)
            fenced = [*[_BEFORE] * reach, *values, *[_BEHIND] * reach]
            for places in listed:
                self._add(found, fenced, reach, places, f"{column}:{'+'.join(map(str, places))}=")
        return found

    def _values(self, sentence: Sentence, column: str) -> list[str] | None:
        if column != "word":
            return sentence.columns.get(column)
        return [word.lower() for word in sentence.words] if self.lowercase else sentence.words

    @staticmethod
    def _add(found: list[list[str]], fenced: list[str], reach: int, places: tuple[int, ...], template: str) -> None:
        length = len(found)
        inside: set[int] = set().union(*(range(max(0, -place), length - max(0, place)) for place in places))
        shifted = [fenced[reach + place : reach + place + length] for place in places]
        for word, values in enumerate(zip(*shifted, strict=True)):
            if word in inside:
                found[word].append(template + "\t".join(values))


def _check(column: str, listed: object) -> None:
    """Raise UserError if `listed` is not a list of lists of integers."""
    for places in listed if isinstance(listed, list | tuple) else [listed]:
        if not isinstance(places, list | tuple) or not places or not all(isinstance(place, int) for place in places):
            raise UserError(
                f"features: '{places}' in ngrams.{column} is no n-gram. It takes lists of places, as in "
                f"ngrams.{column}=[[0],[-1,0]]."
            )
