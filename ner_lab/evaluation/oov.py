"""Scores of entities by class of their words (Ma & Hovy 2016, tables 8 and 9).

An entity is OOTV if some of its words are not in train and all are in the vector file, OOEV if some
are not in the file and all are in train, OOBV if some are not in train and some (maybe others) not
in the file, and IV if all words are in both. A word is in train if train has its lower-cased
spelling, with digits unchanged; it is in the file if its look-up finds a vector. With GloVe this
reproduces all eight of the paper's entity counts on CoNLL-2003; cased training words, or digits
replaced by zeros, do not.

The paper does not say how predicted entities are classified; here the same rule applies. Every
entity, gold or predicted, is in one class, so the counts of the classes sum to those of the split.
"""

from collections.abc import Iterable, Mapping, Sequence

from ner_lab.data.tags import Span
from ner_lab.data.vector_lookup import WORD_CLASSES, word_class
from ner_lab.evaluation.precision_recall import span_scores

_NOT_IN_TRAIN, _NOT_IN_FILE = {"OOTV", "OOBV"}, {"OOEV", "OOBV"}


def entity_class(words: Iterable[str], classes: Mapping[str, str]) -> str:
    """The class of an entity with these words; `classes` has the class of each word."""
    found = {classes[word] for word in words}
    return word_class(in_train=not found & _NOT_IN_TRAIN, in_file=not found & _NOT_IN_FILE)


def oov_scores(
    sentences: Iterable[tuple[Sequence[str], Sequence[Span], Sequence[Span]]], classes: Mapping[str, str]
) -> dict[str, dict[str, object]] | None:
    """Precision, recall, F1 and counts for each class of entities.

    sentences: words, gold spans and predicted spans. None if `classes` lacks a word of an entity, as
    may happen on other data: vector coverage is known only for the run's own corpus.
    """
    counts = {name: {"correct": 0, "predicted": 0, "gold": 0} for name in WORD_CLASSES}
    try:
        for words, gold, predicted in sentences:
            for kind, spans in (("correct", set(gold) & set(predicted)), ("predicted", predicted), ("gold", gold)):
                for span in spans:
                    counts[entity_class(words[span.start : span.end], classes)][kind] += 1
    except KeyError:
        return None
    return {name: span_scores(**count) for name, count in counts.items()}
