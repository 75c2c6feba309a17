"""Comparisons of finished runs."""

from pathlib import Path
from typing import Any

import torch

from ner_lab.runs.folder import RunFolder

TIMES = {"seconds", "tokens_per_second", "train_seconds", "data_seconds", "train_tokens_per_second"}


def without_times(tree: Any) -> Any:
    """The content of a metrics.json, or a part of it, without what depends on the speed."""
    if isinstance(tree, dict):
        return {key: without_times(value) for key, value in tree.items() if key not in TIMES}
    return [without_times(item) for item in tree] if isinstance(tree, list) else tree


def same_weights(first: Path, second: Path) -> bool:
    """Whether the checkpoints of two runs have the same weights, to the last bit."""
    one, other = (RunFolder(folder).read_weights()[0] for folder in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
