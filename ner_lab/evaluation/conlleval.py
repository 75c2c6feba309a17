"""Scores string tags as conlleval counts, plus seqeval's strict F1.

`ner_lab.evaluation.span_f1.SpanF1` computes the same counts on tensors during training.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from ner_lab.data.tags import OPENED_BY_I, as_written, detect_scheme, is_proper, spans_of
from ner_lab.evaluation.error_analysis import Prediction, scores_by_type, sentence_counts
from ner_lab.evaluation.precision_recall import percent, span_scores
from ner_lab.io.terminal import table

_SENTENCES = 10_000  # sentences whose entities seqeval extracts at a time

_LETTERS_B_AND_I = ("IO", "IOB1", "IOB2")  # schemes whose prefixes are part of all others but IO

_KNOWN_BY = {
    "IV": "IV: words in train and vectors",
    "OOTV": "OOTV: a word not in train",
    "OOEV": "OOEV: a word without a vector",
    "OOBV": "OOBV: both of these",
}

Tags = Sequence[Sequence[str]]
"""The tags of each sentence"""


def schemes_of(gold: Tags, predicted: Tags) -> tuple[str, str]:
    """Detect the schemes of gold and predicted tags. Raises ValueError if prefixes of two schemes are mixed.

    Predictions may violate their scheme, so they are assumed to have the gold scheme unless that is impossible: their
    prefixes belong to another scheme, or all their sentences obey another one.
    """
    written = detect_scheme(gold), detect_scheme(predicted)
    if not _has_entities(predicted):
        return written[0], written[0]
    if not _has_entities(gold):
        return written[1], written[1]
    if set(written) == set(OPENED_BY_I):  # IO is IOB1 in which no two entities are adjacent
        return "IOB1", "IOB1"
    fits = written[1] in _LETTERS_B_AND_I and written[0] != "IO"
    if fits and not all(is_proper(tags, written[1]) for tags in predicted):
        return written[0], written[0]
    return written


def _has_entities(tags: Tags) -> bool:
    return any(tag != "O" for tag in chain(*tags))


def score_tags(gold: Tags, predicted: Tags, schemes: tuple[str, str] | None = None) -> dict[str, Any]:
    """Scores of all sentences, named as in metrics.json, with the `schemes` of gold and predicted tags.

    schemes: of gold and predicted tags; None to detect them. If they differ, accuracy compares the tags in IOB2.
    """
    of_gold, of_predicted = schemes or schemes_of(gold, predicted)
    sentences = [
        Prediction([""] * len(truth), spans_of(truth), spans_of(guess))
        for truth, guess in zip(gold, predicted, strict=True)
    ]
    iob2 = [
        [as_written(tags, scheme) for tags in rows] for rows, scheme in ((gold, of_gold), (predicted, of_predicted))
    ]
    # conlleval compares tags as they are written
    compared = [gold, predicted] if of_gold == of_predicted else iob2
    same = [truth == guess for truth, guess in zip(*map(chain.from_iterable, compared), strict=True)]
    return {
        **span_scores(*map(int, sentence_counts(sentences).sum(axis=0))),
        "accuracy": percent(sum(same), len(same)),
        "tokens": len(same),
        "sentences": len(sentences),
        "improper_sequences": sum(not is_proper(tags, of_predicted) for tags in predicted),
        "per_type": scores_by_type(sentences),
        "f1_strict": strict_f1(*iob2),
        "improper_gold": sum(not is_proper(tags, of_gold) for tags in gold),
        "schemes": {"gold": of_gold, "predicted": of_predicted},
    }


def strict_f1(gold: Tags, predicted: Tags) -> float:
    """seqeval's strict F1 in per cent: spans that do not start with B- are ignored, in gold too. Tags in IOB2.

    Entities are extracted by seqeval, in groups of sentences: a large corpus at once would take gigabytes, and
    seqeval's metrics take a second to import.
    """
    from seqeval.scheme import IOB2, Entities

    correct = found = wanted = 0
    for begin in range(0, len(gold), _SENTENCES):
        some = slice(begin, begin + _SENTENCES)
        truth, guess = (set(chain(*Entities(rows[some], IOB2).entities)) for rows in (gold, predicted))
        correct, found, wanted = correct + len(truth & guess), found + len(guess), wanted + len(truth)
    if not correct:
        return 0.0
    precision, recall = correct / found, correct / wanted
    return 100.0 * (2.0 * precision * recall / (precision + recall))


def score_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """Table of scores per entity type, overall, by seqeval's strict rule, and by class of words; for each split."""
    columns = ("precision", "recall", "f1", "gold", "predicted", "correct")
    header = ["precision", "recall", "F1", "gold", "predicted", "correct"]
    parts = []
    for name, scores in splits.items():
        rows: list[list[object]] = [
            [entity_type, *(row[column] for column in columns)] for entity_type, row in scores["per_type"].items()
        ]
        rows.append(["all", *(scores[column] for column in columns)])
        rows.append(["strict (seqeval)", "", "", scores["f1_strict"], "", "", ""])
        note = (
            f"  accuracy {scores['accuracy']:.2f} %, {scores['improper_sequences']:,} of {scores['sentences']:,} "
            "sentences with an improper tag sequence"
        )
        if scores.get("improper_gold"):
            note += f"; of the gold tags {scores['improper_gold']:,}, which strict does not repair"
        parts.append(table([name, *header], rows) + "\n" + note)
        if "oov" in scores:
            by_class = [
                [_KNOWN_BY[known], *(row[column] for column in columns)] for known, row in scores["oov"].items()
            ]
            parts.append(table([f"{name}, entities by words", *header], by_class))
    return "\n\n".join(parts)
