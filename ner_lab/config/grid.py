"""The jobs of a study: every combination of the swept values, each with a folder named by its choices."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ner_lab.config.naming import SEED, configuration_name, job_folder
from ner_lab.config.renames import with_current_keys
from ner_lab.errors import UserError, nearest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

    Parse = Callable[[list[str]], list[Override]]


@dataclass(frozen=True)
class Job:
    """One training: its overrides in Hydra's grammar, and what distinguishes it from the other jobs.

    choices: value of each swept key, without the seed. label: its variant, in a study of variants.
    """

    overrides: tuple[str, ...]
    choices: Mapping[str, str]
    seed: int | str
    label: str | None = None
    configuration: str = field(init=False)
    folder: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "configuration", configuration_name(self.choices))
        object.__setattr__(self, "folder", job_folder(self.choices, self.seed))


def included_variants(
    variants: Mapping[str, Mapping[str, Any]], include: Sequence[str] | None
) -> dict[str, Mapping[str, Any]]:
    """The variants with these labels; all if none are named."""
    for label in include or ():
        if label not in variants:
            raise UserError(
                f"hydra.sweeper.include: no variant '{label}'{nearest(label, variants)} "
                f"Variants: {', '.join(variants)}."
            )
    return {label: variant for label, variant in variants.items() if include is None or label in include}


def expand(
    parse: "Parse",
    params: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    arguments: Sequence[str],
    seed: int,
) -> list[Job]:
    """All jobs, in the order of variants and parameters, the last parameter changing fastest.

    parse: Hydra's parser of overrides. params: `hydra.sweeper.params`, swept or fixed. variants: label to
    overrides.
    arguments: overrides from the command line, which take precedence over params of the same key.
    seed: of jobs that sweep over none.
    """
    swept: dict[str, list[str]] = {}
    fixed: dict[str, str] = {}
    given = parse([f"{key}={_as_override(value)}" for key, value in with_current_keys(params).items()])
    variants = {label: with_current_keys(variant) for label, variant in variants.items()}
    factors = {key_of(override) for override in given}
    for override in [*given, *parse(list(arguments))]:
        key = key_of(override)
        values = _values(override)
        if values is None and key not in factors:
            fixed[key] = str(override.input_line)
            swept.pop(key, None)
        else:
            swept[key] = values if values is not None else [str(override.get_value_element_as_str())]
            fixed.pop(key, None)
    _check_variants(parse, variants, {key.lstrip("+~") for key in (*swept, *fixed)})
    axes = [[(key, value) for value in values] for key, values in swept.items()]
    jobs: dict[str, Job] = {}
    for label, variant in variants.items() if variants else [(None, {})]:
        chosen = [(str(key), _as_override(value)) for key, value in variant.items()]
        for combination in itertools.product(*axes):
            pairs = dict([*chosen, *combination])
            job = Job(
                overrides=(*fixed.values(), *(f"{key}={value}" for key, value in pairs.items())),
                choices={key: value.strip("'\"") for key, value in pairs.items() if key != SEED},
                seed=number(pairs.get(SEED, seed)),
                label=label if variants else None,
            )
            _check_twin(job, jobs.setdefault(job.folder, job))
    return list(jobs.values())


def key_of(override: "Override") -> str:
    """The key that an override sets."""
    return str(override.get_key_element())


def _values(override: "Override") -> list[str] | None:
    """The swept values; None for a single one."""
    if not override.is_sweep_override():
        return None
    if not override.is_discrete_sweep():
        raise UserError(
            f"{override.input_line}: a grid needs values to go through, KEY=A,B,C or KEY=range(1,6). "
            "Searching intervals takes hydra/sweeper=optuna."
        )
    return [str(value) for value in override.sweep_string_iterator()]


def _check_twin(job: Job, twin: Job) -> None:
    """Refuse different jobs with the same folder."""
    if job.label != twin.label:
        raise UserError(f"variants '{twin.label}' and '{job.label}' make the same choices: {job.folder}.")
    for key, value in job.choices.items():
        if twin.choices[key] != value:
            raise UserError(f"{key}: '{twin.choices[key]}' and '{value}' are too alike to name folders: {job.folder}.")


def _check_variants(parse: "Parse", variants: Mapping[str, Mapping[str, Any]], others: set[str]) -> None:
    keys_of = [set(map(str, variant)) for variant in variants.values()]
    for label, keys in zip(variants, keys_of, strict=True):
        for override in parse([f"{key}={_as_override(value)}" for key, value in variants[label].items()]):
            if override.is_sweep_override():
                raise UserError(f"hydra.sweeper.variants: '{label}' gives several values: {override.input_line}.")
        if keys != keys_of[0]:
            odd = ", ".join(sorted(keys ^ keys_of[0]))
            raise UserError(
                f"hydra.sweeper.variants: '{label}' and '{next(iter(variants))}' must set the same keys; "
                f"only one of them sets {odd}."
            )
        if SEED in keys:
            raise UserError(f"hydra.sweeper.variants: '{label}' sets the seed. Seeds belong in hydra.sweeper.params.")
        if both := sorted(keys & others):
            raise UserError(
                f"{both[0]} is set by the variants of this study and cannot be set beside them. "
                "Choose variants with hydra.sweeper.include=[LABEL], or use another study."
            )


def _as_override(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def number(seed: int | str) -> int | str:
    """A seed as an integer, if it is one."""
    return int(seed) if str(seed).isdigit() else seed


def fixed_keys(parse: "Parse", params: Mapping[str, Any], arguments: Sequence[str]) -> set[str]:
    """Keys that all jobs of a sweep share: in `hydra.sweeper.params` or on the command line, and not swept."""
    is_swept: dict[str, bool] = {}
    for override in parse([*(f"{key}={value}" for key, value in params.items()), *arguments]):
        is_swept[key_of(override)] = override.is_sweep_override() or is_swept.get(key_of(override), False)
    return {key for key, swept in is_swept.items() if not swept}


def named_job(parse: "Parse", overrides: Sequence[str], fixed: set[str], seed: int) -> Job:
    """The job of these overrides; `seed`: used if they set none."""
    values = {key_of(override): str(override.get_value_element_as_str()) for override in parse(list(overrides))}
    choices = {key: value for key, value in values.items() if key not in fixed and key != SEED}
    return Job(overrides=tuple(overrides), choices=choices, seed=number(values.get(SEED, seed)))
