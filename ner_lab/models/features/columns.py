"""Additional columns of the corpus, such as part-of-speech and chunk tags, as categories."""

from collections.abc import Sequence

from ner_lab.data.sentence import Sentence
from ner_lab.models.features.base import FeatureSet
from ner_lab.models.layers.checks import check_int_range

_ABSENT = "_"


class Columns(FeatureSet):
    """Each named column of the corpus as a dense feature.

    names: columns, as `data.columns` names them; if a corpus lacks one, its value is the same everywhere.
    dim: size of the learnt vectors; None for orthogonal codes (Hammerton 2003).
    """

    def __init__(self, *, names: Sequence[str], dim: int | None) -> None:
        check_int_range(1, "features", dim=dim, hint="Use null for orthogonal codes.")
        self.columns = tuple(names)
        self.reads = tuple(names)
        self.dim = dim

    def dense(self, sentence: Sentence) -> list[list[str]]:
        """The columns as they are in the file."""
        absent = [_ABSENT] * len(sentence.words)
        return [sentence.columns.get(name, absent) for name in self.columns]

    def dims(self) -> dict[str, int | None]:
        """One size for all columns."""
        return dict.fromkeys(self.columns, self.dim)
