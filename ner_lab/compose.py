"""Configs from the command line: composed, checked to the last key, with errors that help."""

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ner_lab.errors import UserError
from ner_lab.suggest import nearest

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parent
CONF_DIR = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
"""The configs: inside an installed package, or beside it in a checkout."""

_PARTS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")
_FREE = "paper"  # the group whose options set keys of other groups


def register_resolvers() -> None:
    """`${run_name:}`: data (and paper) and the parts by their options' names, for the run folder."""
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)


def _run_name(*, _root_: DictConfig) -> str:
    choices = OmegaConf.select(_root_, "hydra.runtime.choices")
    if choices is None and HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
    if choices is None:
        return "run"
    paper = choices.get("paper") or "none"
    for group in ("data", *_PARTS):
        if not isinstance(choices.get(group), str):
            raise UserError(f"{group} needs one option: {group}={'|'.join(options_of(group))}.")
    place = choices["data"] if paper == "none" else f"{paper}/{choices['data']}"
    return f"{place}/{'-'.join(str(choices[group]) for group in _PARTS)}"


def check_keys(cfg: DictConfig, choices: dict[str, str], config_dirs: Sequence[str] = ()) -> None:
    """Every key of `cfg` must be one that its group's option has without the paper or sweep file.

    Hydra refuses unknown keys on the command line, but merges those of a paper file in silence.
    """
    groups = {name: choice for name, choice in choices.items() if not name.startswith("hydra/") and name != _FREE}
    overrides = [f"{name}={choice}" for name, choice in groups.items()]
    known = compose_config([*overrides, f"{_FREE}=none"], config_dirs)
    _compare(cfg, known, "")


def _compare(cfg: DictConfig, known: DictConfig, place: str) -> None:
    for name in map(str, cfg):
        where = f"{place}{name}"
        siblings = [str(sibling) for sibling in known]
        if name not in siblings:
            raise UserError(
                f"unknown config key '{where}'{nearest(name, siblings)} "
                f"{place.rstrip('.') or 'The config'} takes: {', '.join(siblings)}."
            )
        if where in _OPEN_KEYS:
            continue
        inner, known_inner = cfg._get_node(name), known._get_node(name)
        if not isinstance(known_inner, DictConfig):
            _check_kind(where, cfg, known, name)
        elif isinstance(inner, DictConfig) and not inner._is_none():
            _compare(inner, known_inner, f"{where}.")
        else:
            raise UserError(
                f"{where} is '{cfg[name]}', but it has keys of its own: {', '.join(map(str, known_inner))}."
            )


def _check_kind(where: str, cfg: DictConfig, known: DictConfig, name: str) -> None:
    """A (whole) number stays one, a switch a switch; what is null by default may become anything."""
    if where in _OPEN_VALUES or OmegaConf.is_missing(cfg, name) or OmegaConf.is_missing(known, name):
        return
    given, usual = cfg[name], known[name]
    if isinstance(usual, bool):
        expected, fits = "true or false", isinstance(given, bool)
    elif isinstance(usual, int):
        expected, fits = "a whole number", isinstance(given, int) and not isinstance(given, bool)
    elif isinstance(usual, float):
        expected, fits = "a number", isinstance(given, int | float) and not isinstance(given, bool)
    else:
        return
    if given is not None and not fits:
        raise UserError(f"{where} is '{given}', expected {expected}, such as {usual}.")


_OPEN_VALUES = {"trainer.devices", "trainer.deterministic"}  # they take words beside numbers and switches
_OPEN_KEYS = {"data.columns", "data.local", "data.counts"}  # their keys are names the user gives


def compose_config(overrides: Sequence[str], config_dirs: Sequence[str] = (), name: str = "config") -> DictConfig:
    """Compose without running anything; works inside a Hydra application and outside."""
    register_resolvers()
    instance = GlobalHydra.instance()
    outer = instance.hydra
    instance.hydra = None
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            path = [f"hydra.searchpath=[{','.join(map(_quoted_place, config_dirs))}]"] if config_dirs else []
            return compose(name, overrides=[*overrides, *path])
    finally:
        instance.hydra = outer


def _quoted_place(folder: str) -> str:
    """A folder as an item of `hydra.searchpath`, quoted as Hydra's grammar of overrides asks."""
    place = str(Path(folder).absolute()).replace("'", "\\'")
    return f"'file://{place}'"


def keyword_arguments(arguments: Sequence[str], known: Sequence[str], usage: str) -> tuple[dict[str, str], list[str]]:
    """Split `key=value` arguments into a command's own (those `known`) and overrides of `data`.

    `--help` prints `usage` and ends; an unknown key is an error that names the nearest.
    """
    own: dict[str, str] = {}
    data: list[str] = []
    for argument in arguments:
        if argument in ("-h", "--help"):
            print(usage)
            raise SystemExit(0)
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"'{argument}': expected KEY=VALUE.\n\n{usage}")
        if key in known:
            own[key] = value
        elif key == "data" or key.lstrip("+").startswith("data."):
            data.append(argument)
        else:
            raise UserError(f"unknown key '{key}'{nearest(key, [*known, 'data'])}\n\n{usage}")
    return own, data


def data_section(overrides: Sequence[str], base: DictConfig | None = None) -> DictConfig:
    """The `data` group under `overrides`: that of `base`, unless they choose another option."""
    if base is None or any(item.startswith("data=") for item in overrides):
        return compose_config([*overrides])
    cfg = OmegaConf.create({"data": base.data})
    for item in overrides:
        key, _, value = item.lstrip("+").partition("=")
        if OmegaConf.select(cfg, key.rpartition(".")[0]) is None or key.split(".")[1] not in cfg.data:
            raise UserError(f"unknown config key '{key}'{nearest(key, all_keys())}")
        cfg = OmegaConf.merge(cfg, OmegaConf.from_dotlist([f"{key}={value}"]))  # type: ignore[assignment]
    return cfg


def run_command(command: Callable[[], Any]) -> None:
    """Run a command; a user's mistake ends with exit code 2 and a message, ours with a traceback and 1."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises, and the message is ours to word
    try:
        command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # whoever reads our output has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Exception as error:
        if (mistake := mistake_behind(error)) is None:
            raise
        stop(mistake)


def mistake_behind(error: Exception) -> str | None:
    """What the user can put right, in words; None where the error is ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(user_error_behind(error) or explain(error))
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return None


def stop(error: str) -> NoReturn:
    """End with exit code 2 and a message; a run's log gets it as well."""
    if log.hasHandlers():
        log.error("error: %s", error)
    else:
        print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def user_error_behind(error: BaseException) -> UserError | None:
    """The user's mistake that led to `error`, if it is one: Hydra wraps what is raised while it builds a part."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def explain(error: Exception) -> str:
    """Hydra's message in a line or two, with the nearest key that exists."""
    text = str(error)
    for cause in (error.__cause__, error.__context__):
        if cause is not None and str(cause) not in text:
            text += f"\n{cause}"
    if (match := re.search(r"full_key: (\S+)", text)) and "not in" in text:
        return _unknown_key(match[1])
    if match := re.search(r"Could not (?:override|append to config.*?) '([^']+)'", text):
        return _unknown_key(match[1].partition("=")[0].lstrip("+"))
    if match := re.search(r"full_key: (\S+)", text):
        return f"{match[1]}: {error.__cause__ or text.splitlines()[0]}"
    if match := re.search(r"Could not find '([^']+)'", text):
        group, _, option = match[1].rpartition("/")
        options = options_of(group)
        if options:
            return f"{group} has no option '{option}'{nearest(option, options)} Options: {', '.join(options)}."
    if match := re.search(r"Could not override '([^']+)'.*No match", text, re.DOTALL):
        return _unknown_key(match[1])
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _unknown_key(key: str) -> str:
    known = all_keys()
    if "." not in key and (CONF_DIR / key).is_dir():
        return f"'{key}' is a group: choose an option, {key}={'|'.join(options_of(key))}."
    if key.rpartition(".")[0] in _OPEN_KEYS:
        return f"'{key}' is a new name there: add it with a plus sign, +{key}=..."
    if key in known:
        group, _, name = key.partition(".")
        return f"the chosen option of '{group}' does not take '{name}'; other options of {group} do."
    return f"unknown config key '{key}'{nearest(key, known)} `ner-lab train --cfg job` shows all keys."


def all_keys() -> list[str]:
    """Every key of the config, of every option of every group, by its full name."""
    keys: set[str] = set()
    for file in sorted(CONF_DIR.glob("*/*.yaml")) + [CONF_DIR / "config.yaml"]:
        group = "" if file.name == "config.yaml" else file.parent.name
        if group in (_FREE, "hydra"):
            continue
        cfg = OmegaConf.load(file)
        keys.update(_flat_keys(cfg, group))
        keys.add(group)
    return sorted(keys - {""})


def options_of(group: str) -> list[str]:
    """The options of a config group."""
    hidden = {"base"}
    return sorted(file.stem for file in (CONF_DIR / group).glob("*.yaml") if file.stem not in hidden)


def _flat_keys(cfg: Any, place: str) -> set[str]:
    keys = set()
    for key in cfg:
        if str(key).startswith("_") or key in ("defaults", "hydra"):
            continue
        where = f"{place}.{key}" if place else str(key)
        keys.add(where)
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            keys |= _flat_keys(node, where)
    return keys
