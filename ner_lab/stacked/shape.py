"""Which runs can be trained as one: those of one shape, whatever their seeds, rates and dropout."""

from collections.abc import Sequence

from omegaconf import DictConfig

from ner_lab.study.state import flat_config

FREE = {
    "seed",
    "fail_below",
    "early_stopping.patience",
    "early_stopping.rule",
    *(f"optimizer.{key}" for key in ("lr", "decay", "clip", "clip_at", "loss")),
}
"""Keys in which members may differ, beside probabilities of dropout."""


def shape_of(cfg: DictConfig) -> str:
    """What runs that are trained as one must have in common, as text."""
    keys = {key: value for key, value in flat_config(cfg).items() if key not in FREE and not _is_dropout(key)}
    return repr(sorted(keys.items()))


def _is_dropout(key: str) -> bool:
    name = key.rpartition(".")[2]
    return name == "dropout" or name.endswith("_dropout")


def stacks_of(cfgs: Sequence[DictConfig], most: int | None) -> list[list[int]]:
    """Numbers of the runs to be trained as one, in order; at most so many at once."""
    by_shape: dict[str, list[int]] = {}
    for number, cfg in enumerate(cfgs):
        by_shape.setdefault(shape_of(cfg), []).append(number)
    size = most or len(cfgs)
    return [numbers[begin : begin + size] for numbers in by_shape.values() for begin in range(0, len(numbers), size)]
