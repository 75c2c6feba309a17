"""Capitalisation of the word, a feature of Chiu & Nichols 2016, section 2.4.1."""

from ner_lab.data.sentence import Sentence
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.layers.checks import check_int_range


class Caps(FeatureSet):
    """allCaps, upperInitial, lowercase, mixedCaps or noinfo, each with a learnt vector of size `dim`."""

    columns = ("caps",)

    def __init__(self, *, dim: int) -> None:
        check_int_range(0, "features", dim=dim)
        self.dim = dim

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """One column: the class of each word."""
        return [[caps(word) for word in sentence.words]]

    def dims(self) -> dict[str, int | None]:
        """Size of the vectors of the column."""
        return {"caps": self.dim}


def caps(word: str) -> str:
    """The class of a word; a single capital letter counts as upperInitial, as in Collobert et al. 2011."""
    letters = [letter for letter in word if letter.isalpha()]
    if not letters:
        return "noinfo"
    uppers = sum(letter.isupper() for letter in letters)
    if uppers == 0:
        return "lowercase"
    if uppers == len(letters) and len(letters) > 1:
        return "allCaps"
    return "upperInitial" if word[0].isupper() and uppers == 1 else "mixedCaps"
