"""W&B sweeps: a study's grid or search as a config for `wandb sweep`, whose agents train the study's jobs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import override_parser, quoted
from ner_lab.config.grid import expand, key_of
from ner_lab.config.study_files import read_study_file
from ner_lab.errors import UserError
from ner_lab.tracking import metric_names as names

_SWEEPER = "hydra/sweeper"
_TRIALS = 20  # of a search, in the example
_HEADER = """# The study {name} for agents of W&B; made by `ner-lab sweep {study} --wandb`
#   wandb sweep --project ner_lab FILE    once; prints the ID of the sweep
#   {agent}
"""


def sweep_text(file: Path, overrides: Sequence[str]) -> str:
    """The YAML of a study's W&B sweep, with a comment on how to start it; arguments as of `sweep_config`."""
    config = sweep_config(file, overrides)
    folder = _config_dir(file)
    study = file.stem if folder == "sweeps" else file
    if config["method"] == "bayes":
        agent = f"wandb agent --count {_TRIALS} ENTITY/ner_lab/ID     on each machine; without --count it never ends"
    else:
        agent = f"wandb agent ENTITY/ner_lab/ID         on each machine, which needs the folder {folder}"
    header = _HEADER.format(name=_name_of(file, read_study_file(file)), study=study, agent=agent)
    return header + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)


def sweep_config(file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """A study as a W&B sweep: an agent of a grid trains the job that `ner-lab sweep` would train, in the same folder.

    A search is by W&B's own sampler, over the ranges of the study; it ends when its agents do.

    Args:
        file: the study.
        overrides: other values of swept keys.

    Raises:
        UserError: for a study of variants, since W&B's grids are products, for an override of a key that is not
            swept, and for a logarithmic range of integers.
    """
    study = read_study_file(file)
    if OmegaConf.select(study, "hydra.sweeper.variants"):
        raise UserError(
            f"{file}: the study has variants, and a W&B grid is a product of values. "
            f"Run it with `ner-lab sweep {file.stem}`."
        )
    params = dict(OmegaConf.select(study, "hydra.sweeper.params") or {})
    for override in override_parser()(list(overrides)):
        if key_of(override) not in params:
            raise UserError(
                f"'{override.input_line}': with --wandb only swept keys can be set, {', '.join(map(str, params))}. "
                "Set other keys in the study's file."
            )
        params[key_of(override)] = str(override.input_line).partition("=")[2]
    search = any(_SWEEPER in str(entry) for entry in study.get("defaults") or ())
    return {
        "program": "ner-lab",
        "method": "bayes" if search else "grid",
        "metric": {"name": names.DEV_F1, "goal": "maximize"},
        "command": ["ner-lab", "train", *_arguments(file, study, search), "${args_no_hyphens}"],
        "parameters": _ranges(params) if search else _grid(params),
    }


def _arguments(file: Path, study: DictConfig, search: bool) -> list[str]:
    """What `ner-lab train` needs besides the values that W&B chooses."""
    name = _name_of(file, study)
    if not search:
        folder = f"hydra.run.dir=outputs/{name}/${{job_name:}}"
        return [f"--config-dir={_config_dir(file)}", f"--config-name={file.stem}", folder]
    # without the study's file, so that agents need no Optuna
    return [f"study.name={name}", f"hydra.run.dir=outputs/{name}/wandb/${{oc.env:WANDB_RUN_ID}}", *_settings(study)]


def _settings(study: DictConfig) -> list[str]:
    """The options and keys that a study's file sets, as overrides; without its sweeper and its description."""
    options = {
        str(group).removeprefix("override ").lstrip("/"): option
        for entry in study.get("defaults") or ()
        if isinstance(entry, DictConfig)
        for group, option in entry.items()
    }
    keys = {key: value for key, value in study.items() if key not in ("defaults", "hydra", "study")}
    return [
        *(f"{group}={option}" for group, option in options.items() if not group.startswith("hydra/")),
        *(f"{key}={_as_value(value)}" for key, value in _flat(OmegaConf.to_container(OmegaConf.create(keys)))),
    ]


def _flat(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        pairs += _flat(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)]
    return pairs


def _as_value(value: Any) -> str:
    """A value of a study's file in Hydra's grammar."""
    if isinstance(value, list):
        return f"[{','.join(map(_as_value, value))}]"
    if isinstance(value, Mapping):
        return "{}"
    return quoted(value) if isinstance(value, str) else yaml.safe_dump(value).splitlines()[0]


def _grid(params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of each swept key."""
    values: dict[str, dict[str, None]] = {}
    for job in expand(override_parser(), params, {}, [], seed=1):
        for override in job.overrides:
            key, _, value = override.partition("=")
            values.setdefault(key, {})[value] = None
    return {key: {"values": list(map(_number, texts))} for key, texts in values.items()}


def _ranges(params: Mapping[str, Any]) -> dict[str, Any]:
    """The space of a search, in W&B's distributions."""
    parsed = override_parser()([f"{key}={value}" for key, value in params.items()])
    return {key_of(override): _range(override) for override in parsed}


def _range(override: Override) -> dict[str, Any]:
    space = override.value()
    if isinstance(space, IntervalSweep):
        if {"log", "int"} <= space.tags:
            raise UserError(f"'{override.input_line}': W&B has no logarithmic range of integers. Use choice(A,B,C).")
        if "int" in space.tags:
            return {"distribution": "int_uniform", "min": int(space.start or 0), "max": int(space.end or 0)}
        kind = "log_uniform_values" if "log" in space.tags else "uniform"
        return {"distribution": kind, "min": space.start, "max": space.end}
    if isinstance(space, RangeSweep) and space.step == 1 and isinstance(space.start, int) and space.stop is not None:
        return {"distribution": "int_uniform", "min": space.start, "max": int(space.stop) - 1}
    if override.is_sweep_override():
        return {"values": [_number(str(text)) for text in override.sweep_string_iterator()]}
    return {"value": _number(str(override.get_value_element_as_str()))}


def _number(text: str) -> int | float | str:
    """A number, if an agent writes it on the command line as it is here; else the text."""
    for kind in (int, float):
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:
            pass
    return text


def _name_of(file: Path, study: DictConfig) -> str:
    return str(OmegaConf.select(study, "study.name") or file.stem)


def _config_dir(file: Path) -> str:
    """The folder of a study, relative where it is below the working folder, so that other machines find theirs."""
    folder = file.parent.absolute()
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
