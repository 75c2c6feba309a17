"""W&B numbers, tables and images of a finished run, from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ner_lab.data.tags import Span
from ner_lab.evaluation.error_analysis import Prediction, mistakes_of, read_predictions, type_confusion
from ner_lab.tracking import metric_names as names

_SPLITS = ("dev", "test")
_NOT_NUMBERS = {"history", "transitions", "sources", "train_on"}


def summary(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of metrics.json by flat names (`test/f1`, `test/PER/f1`), without curves, matrices and files."""
    numbers = _flat({key: value for key, value in metrics.items() if key not in _NOT_NUMBERS})
    return numbers | {"parameters/all": sum(metrics["parameters"].values())}


def tables(run: Path, metrics: Mapping[str, Any], error_rows: int) -> dict[str, Any]:
    """Media by name: confusion of entity types and mistakes for each split, coverage, transitions."""
    media: dict[str, Any] = {}
    for split in _SPLITS:
        file = run / "predictions" / f"{split}.conll"
        if file.is_file():
            predictions = read_predictions(file)
            media[names.CONFUSION.format(split=split)] = _confusion(predictions, split)
            if error_rows:
                media[names.MISTAKES.format(split=split)] = _mistakes(predictions, error_rows)
    if metrics.get("coverage"):
        media[names.COVERAGE] = _coverage(metrics["coverage"])
    if metrics.get("transitions"):
        media |= _transitions(metrics["transitions"])
    return media


def _confusion(predictions: list[Prediction], split: str) -> Any:
    import wandb

    labels, counts = type_confusion(predictions)
    rows = [
        [gold, predicted, counts[row][column]]
        for row, gold in enumerate(labels)
        for column, predicted in enumerate(labels)
    ]
    columns = ["Actual", "Predicted", "nPredictions"]
    table = wandb.Table(columns=[*columns], data=rows)
    fields: dict[str, Any] = {name: name for name in columns}
    title = {"title": f"entity types on {split}: gold against predicted"}
    return wandb.plot_table("wandb/confusion_matrix/v1", table, fields, title)


def _mistakes(predictions: list[Prediction], max_rows: int) -> Any:
    import wandb

    columns = ["sentence", "kind", "gold", "predicted", "text", "text, gold", "text, predicted"]
    rows = []
    for mistake in mistakes_of(predictions)[:max_rows]:
        sentence = predictions[mistake.sentence]
        rows.append(
            [
                mistake.sentence + 1,
                mistake.kind,
                _entity(sentence, mistake.gold),
                _entity(sentence, mistake.predicted),
                " ".join(sentence.words),
                marked(sentence.words, sentence.gold),
                marked(sentence.words, sentence.predicted),
            ]
        )
    return wandb.Table(columns=[*columns], data=rows)


def _entity(sentence: Prediction, span: Span | None) -> str:
    return "" if span is None else f"[{span.type} {' '.join(sentence.words[span.start : span.end])}]"


def marked(words: list[str], spans: list[Span]) -> str:
    """`[PER Anna Holm] lives in [LOC Oslo] .`"""
    pieces, end = [], 0
    for span in spans:
        pieces += [*words[end : span.start], f"[{span.type} {' '.join(words[span.start : span.end])}]"]
        end = span.end
    return " ".join([*pieces, *words[end:]])


def _coverage(coverage: Mapping[str, Mapping[str, int]]) -> Any:
    import wandb

    steps = list(dict.fromkeys(step for counts in coverage.values() for step in counts))
    rows = [[step, *(counts.get(step, 0) for counts in coverage.values())] for step in steps]
    return wandb.Table(columns=["found", *coverage], data=rows)


def _transitions(scores: Mapping[str, Any]) -> dict[str, Any]:
    """The matrix before and after training, as a table and as a heat map."""
    import wandb

    tags, matrix = scores["tags"], scores["matrix"]
    rows = [
        [before, after, matrix["before"][row][column], matrix["after"][row][column]]
        for row, before in enumerate(tags)
        for column, after in enumerate(tags)
    ]
    table = wandb.Table(columns=["from", "to", "before training", "after training"], data=rows)
    return {names.TRANSITIONS: table, names.TRANSITION_MAP: wandb.Image(_heat_map(tags, matrix["after"]))}


def _heat_map(tags: list[str], matrix: list[list[float | None]]) -> Any:
    import matplotlib.pyplot  # noqa: F401 - wandb.Image looks into it without importing it
    import numpy as np
    from matplotlib.figure import Figure

    values = np.array(matrix, dtype=float)
    largest = float(np.nanmax(np.abs(values), initial=1e-9))
    side = 2.5 + 0.28 * len(tags)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="PuOr_r", vmin=-largest, vmax=largest)
    axes.set_xticks(range(len(tags)), tags, rotation=90)
    axes.set_yticks(range(len(tags)), tags)
    axes.set(xlabel="to", ylabel="from", title="transition scores after training")
    figure.colorbar(image, shrink=0.8)
    return figure


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, prefix if key == "per_type" else f"{prefix}{key}/")  # same names as the curves
        else:
            flat[f"{prefix}{key}"] = value
    return flat
