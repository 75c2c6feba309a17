"""Instantiate the parts of a config."""

import importlib
import inspect
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ner_lab.config.type_checks import check_kinds
from ner_lab.data.options import DataOptions
from ner_lab.errors import UserError, nearest
from ner_lab.user_code import cause_of, class_behind, targets_in

_SIZED = ("char_encoder", "encoder", "decoder")  # groups whose classes need sizes


def data_options_of(cfg: DictConfig) -> DataOptions:
    """The `data` group as a record."""
    return part_of(cfg, "data")


def sized_part(cfg: DictConfig, group: str, **sizes: Any) -> Any:
    """A part that needs sizes, built with them."""
    part = part_of(cfg, group)
    try:
        return part(**sizes)
    except Exception as error:
        raise _of_a_class_of_theirs(error, cfg[group], group) from error


def part_of(cfg: DictConfig, group: str, kind: type | None = None) -> Any:
    """The object that a config group describes, or a class that needs sizes (`_partial_`).

    kind: the base class whose members are used.
    """
    section = cfg[group]
    _check_arguments(section, group)
    _check_partial(section, group, kind)
    try:
        part = instantiate(section)
    except InstantiationException as error:
        if (cause := error.__cause__) is None:
            raise
        raise _of_a_class_of_theirs(cause, section, group) from cause.__cause__
    if kind is not None:
        _check_members(part, section, group, kind)
    return part


def _check_partial(section: DictConfig, group: str, kind: type | None) -> None:
    """Refuse a class that needs sizes but is not marked `_partial_`, and the reverse."""
    waits = bool(section.get("_partial_"))
    if group in _SIZED and not waits:
        raise UserError(
            f"{section['_target_']} (conf: {group}) is given sizes once the data are read. Add the line "
            f"`_partial_: true` to its file, conf/{group}."
        )
    if kind is not None and waits:
        _check_members(class_of(section, group), section, group, kind)
        raise UserError(
            f"{section['_target_']} (conf: {group}) is made before the data are read. Remove the line "
            f"`_partial_: true` from its file, conf/{group}."
        )


def _check_members(part: Any, section: DictConfig, group: str, kind: type) -> None:
    """Refuse a word embedding, feature set or optimizer without the members that are used."""
    if missing := [name for name in vars(kind) if not name.startswith("_") and not hasattr(part, name)]:
        raise UserError(
            f"{section['_target_']} (conf: {group}) lacks {', '.join(missing)}. Derive it from "
            f"{kind.__module__}.{kind.__name__}."
        )


def _of_a_class_of_theirs(error: BaseException, section: DictConfig, group: str) -> BaseException:
    """An error raised by a user's own class about its values, as a UserError; any other error unchanged."""
    theirs = class_behind(error, targets_in(section))
    if isinstance(error, UserError | MemoryError) or theirs is None or "allocate" in str(error):
        return error
    cause = cause_of(error, theirs)
    if isinstance(error, ValueError):
        cause = cause.removeprefix(f"{type(error).__name__}: ")
        return UserError(f"{group}: {theirs} does not take its values: {cause}. Set other ones, {group}.KEY=VALUE.")
    return UserError(
        f"{group}: {theirs} cannot be made: {cause}. docs/parts.md says which arguments its constructor is given."
    )


def check_part(cfg: DictConfig, group: str, kind: type | None = None) -> None:
    """Raise UserError for invalid values of a part, as far as they can be checked before data are read."""
    section = cfg.get(group)
    if not isinstance(section, DictConfig) or section.get("_partial_") or group == "logger":
        _check_arguments(section, group)  # it needs sizes, or opens its log target
        _check_partial(section, group, kind)
    else:
        part_of(cfg, group, kind)


def _check_arguments(section: Any, group: str) -> None:
    target, name = _target_of(section, group)
    parameters = inspect.signature(target).parameters.values()
    known = [one.name for one in parameters if one.name != "self" and one.kind != one.VAR_KEYWORD]
    takes_any = any(one.kind == one.VAR_KEYWORD for one in parameters)
    for key in map(str, section):
        if OmegaConf.is_missing(section, key):
            raise UserError(f"{group}.{key} has no default. Give {group}.{key}=...")
        if not key.startswith("_") and key not in known and not takes_any:
            raise UserError(
                f"{name} does not take '{key}' (conf: {group}){nearest(key, known)} It takes: {', '.join(known)}."
            )
        _check_parts(section._get_node(key), f"{group}.{key}")
    values = {key: section[key] for key in map(str, section) if not key.startswith("_")}
    check_kinds(target, {key: value for key, value in values.items() if not _holds_parts(value)}, group)


def class_of(section: Any, group: str) -> Any:
    """The class of a group's option."""
    return _target_of(section, group)[0]


def _target_of(section: Any, group: str) -> tuple[Any, str]:
    """The class of a section, and its name."""
    target_name = section.get("_target_") if isinstance(section, DictConfig) else None
    if not isinstance(target_name, str):
        raise UserError(f"{group} has no _target_, the class that it stands for. Give it one, _target_: PACKAGE.CLASS.")
    place, _, name = target_name.rpartition(".")
    try:
        module = importlib.import_module(place)
    except (ImportError, SyntaxError, ValueError) as error:
        if place.startswith("ner_lab.") and not isinstance(error, ModuleNotFoundError):
            raise
        raise UserError(
            f"{group}: {target_name} cannot be imported: {error}. Check group and file in _target_; a package of your "
            "own must be installed, be beside the folder given as --config-dir, or be on PYTHONPATH."
        ) from error
    if (target := getattr(module, name, None)) is None:
        raise UserError(f"{group}: {place} has no '{name}'{nearest(name, vars(module))}")
    if not callable(target):
        raise UserError(f"{group}: {target_name} is no class, but {type(target).__name__} {target!r}. Name a class.")
    return target, name


def _holds_parts(value: Any) -> bool:
    return isinstance(value, DictConfig)


def _check_parts(node: Any, place: str) -> None:
    """Check the arguments of parts within a part (`features.parts.spelling`)."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
        return
    if "_target_" in node:
        _check_arguments(node, place)
        return
    for key in map(str, node):
        _check_parts(node._get_node(key), f"{place}.{key}")
