"""Names for jobs of sweepers without folder names, such as Optuna: the swept keys and the seed."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ner_lab.config.grid import Job, key_of, number
from ner_lab.config.naming import SEED

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Parse = Callable[[list[str]], list["Override"]]
"""Hydra's parser of overrides."""


def fixed_keys(parse: Parse, params: Mapping[str, Any], arguments: Sequence[str]) -> set[str]:
    """Keys that all jobs of a sweep share: in `hydra.sweeper.params` or on the command line, and not swept."""
    is_swept: dict[str, bool] = {}
    for override in parse([*(f"{key}={value}" for key, value in params.items()), *arguments]):
        is_swept[key_of(override)] = override.is_sweep_override() or is_swept.get(key_of(override), False)
    return {key for key, swept in is_swept.items() if not swept}


def named_job(parse: Parse, overrides: Sequence[str], fixed: set[str], seed: int) -> Job:
    """The job of these overrides; `seed`: used if they set none."""
    told = {key_of(override): str(override.get_value_element_as_str()) for override in parse(list(overrides))}
    choices = {key: value for key, value in told.items() if key not in fixed and key != SEED}
    return Job(overrides=tuple(overrides), choices=choices, seed=number(told.get(SEED, seed)))
