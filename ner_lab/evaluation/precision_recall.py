"""Precision, recall and F1 from counts of spans."""

from typing import Any


def span_scores(correct: int, predicted: int, gold: int) -> dict[str, Any]:
    """Precision, recall and F1 in per cent, and the underlying counts."""
    precision, recall = percent(correct, predicted), percent(correct, gold)
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    counts = {"correct": correct, "predicted": predicted, "gold": gold}
    return {"precision": precision, "recall": recall, "f1": f1, **counts}


def percent(part: int, whole: int) -> float:
    """`part` of `whole` in per cent; 0 if `whole` is 0."""
    return 100.0 * part / whole if whole else 0.0
