"""The jobs of a study: every combination of the swept values, each with a folder named by its choices."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ner_lab.config.naming import SEED, configuration_name, job_folder
from ner_lab.errors import UserError, nearest

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


@dataclass(frozen=True)
class Job:
    """One training: its overrides in Hydra's grammar, and what distinguishes it from the other jobs.

    choices: value of each swept key, without the seed. label: name of its row in a study of rows.
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


def chosen_rows(rows: Mapping[str, Mapping[str, Any]], only: Sequence[str] | None) -> dict[str, Mapping[str, Any]]:
    """The rows with these labels; all if none are named."""
    for label in only or ():
        if label not in rows:
            raise UserError(f"hydra.sweeper.only: no row '{label}'{nearest(label, rows)} Rows: {', '.join(rows)}.")
    return {label: row for label, row in rows.items() if only is None or label in only}


def expand(
    parse: "Callable[[list[str]], list[Override]]",
    params: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Any]],
    arguments: Sequence[str],
    seed: int,
) -> list[Job]:
    """All jobs, in the order of rows and parameters, the last parameter changing fastest.

    parse: Hydra's parser of overrides. params: `hydra.sweeper.params`, swept or fixed. rows: label to overrides.
    arguments: overrides from the command line, which take precedence over params of the same key.
    seed: of jobs that sweep over none.
    """
    swept: dict[str, list[str]] = {}
    fixed: dict[str, str] = {}
    stated = parse([f"{key}={_as_override(value)}" for key, value in params.items()])
    factors = {key_of(override) for override in stated}
    for override in [*stated, *parse(list(arguments))]:
        key = key_of(override)
        values = _values(override)
        if values is None and key not in factors:
            fixed[key] = str(override.input_line)
            swept.pop(key, None)
        else:
            swept[key] = values if values is not None else [str(override.get_value_element_as_str())]
            fixed.pop(key, None)
    _check_rows(parse, rows, {key.lstrip("+~") for key in (*swept, *fixed)})
    axes = [[(key, value) for value in values] for key, values in swept.items()]
    jobs: dict[str, Job] = {}
    for label, row in rows.items() if rows else [(None, {})]:
        chosen = [(str(key), _as_override(value)) for key, value in row.items()]
        for combination in itertools.product(*axes):
            pairs = dict([*chosen, *combination])
            job = Job(
                overrides=(*fixed.values(), *(f"{key}={value}" for key, value in pairs.items())),
                choices={key: value.strip("'\"") for key, value in pairs.items() if key != SEED},
                seed=number(pairs.get(SEED, seed)),
                label=label if rows else None,
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
        raise UserError(f"rows '{twin.label}' and '{job.label}' make the same choices: {job.folder}.")
    for key, value in job.choices.items():
        if twin.choices[key] != value:
            raise UserError(f"{key}: '{twin.choices[key]}' and '{value}' are too alike to name folders: {job.folder}.")


def _check_rows(
    parse: "Callable[[list[str]], list[Override]]", rows: Mapping[str, Mapping[str, Any]], others: set[str]
) -> None:
    stated = [set(map(str, row)) for row in rows.values()]
    for label, keys in zip(rows, stated, strict=True):
        for override in parse([f"{key}={_as_override(value)}" for key, value in rows[label].items()]):
            if override.is_sweep_override():
                raise UserError(f"hydra.sweeper.rows: '{label}' states several values: {override.input_line}.")
        if keys != stated[0]:
            odd = ", ".join(sorted(keys ^ stated[0]))
            raise UserError(
                f"hydra.sweeper.rows: '{label}' and '{next(iter(rows))}' differ in the keys they state: {odd}."
            )
        if SEED in keys:
            raise UserError(f"hydra.sweeper.rows: '{label}' states a seed. Seeds belong in hydra.sweeper.params.")
        if both := sorted(keys & others):
            raise UserError(
                f"{both[0]} is what the rows of this study choose; it cannot be set beside them. "
                "Choose rows with hydra.sweeper.only=[LABEL], or take another study."
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
