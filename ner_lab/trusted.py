"""What a config may say that was not composed from our own options, but read from a run folder.

Such a folder may come from anybody. Its config names the classes that a tagger is built from, so it is read as plain
data, and each name is checked before anything of it is imported: a class of ours, in the room of its config group, or
one of a package that the user named as trusted.
"""

import importlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ner_lab.errors import UserError

TRUST = "NER_LAB_TRUST"
"""Environment variable: packages whose classes may be built from a run folder, divided by commas."""

_ROOMS = ("word_embedding", "char_encoder", "features", "encoder", "decoder", "optimizer", "logger")
_ALONE = {"data": "ner_lab.data.options.DataOptions", "trainer": "pytorch_lightning.Trainer"}
_SETTINGS = {"_target_", "_partial_", "_convert_"}
_LARGEST = 5_000_000  # bytes of a config; ours have some thousand
_DEEPEST = 40  # nested levels; ours have eight


def read_config_file(path: Path, trusted: Sequence[str] = ()) -> DictConfig:
    """The config of a run, checked; UserError where it cannot be read, or says what it may not."""
    cfg = read_yaml(path)
    if not isinstance(cfg, DictConfig):
        raise UserError(f"{path}: not the config of a run: it has no keys.")
    if missing := [group for group in (*_ALONE, *_ROOMS) if not isinstance(cfg.get(group), DictConfig)]:
        raise UserError(f"{path}: not the config of a run: it has no {missing[0]}.")
    check_config(cfg, path, trusted)
    return cfg


def read_yaml(path: Path) -> DictConfig | ListConfig:
    """A YAML file as plain data: no tags that make objects, no anchors that make it larger than it is, not too deep."""
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes. A config has {_LARGEST:,} at most.")
    try:
        text = path.read_text(encoding="utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise UserError(f"{path}:{event.start_mark.line + 1}: a config has no aliases (*...).")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise UserError(f"{path}:{event.start_mark.line + 1}: nested deeper than {_DEEPEST} levels.")
        found = OmegaConf.create(text)
    except (UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())}).") from None
    if not isinstance(found, DictConfig | ListConfig):
        raise UserError(f"{path}: not the config of a run: it has no keys.")
    return found


def read_json_file(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes. A record has {_LARGEST:,} at most.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not the record of a run: it has no keys.")
    return found


def check_config(cfg: DictConfig, source: Path, trusted: Sequence[str] = ()) -> None:
    """Refuse a config from `source` that refers to anything, or names classes other than those of its groups.

    trusted: packages whose classes are taken as they are, beside those of the environment's `NER_LAB_TRUST`.
    """
    _refuse_references(cfg, source, "")
    packages = [*trusted, *(name.strip() for name in os.environ.get(TRUST, "").split(",") if name.strip())]
    for place, node in _nodes(cfg, ""):
        strange = [key for key in map(str, node) if key.startswith("_") and key.endswith("_") and key not in _SETTINGS]
        if strange:
            raise UserError(f"{source}: {place}.{strange[0]}: the config of a run does not say that.")
        if "_target_" in node:
            _check_target(str(node["_target_"]), place, source, packages)
    trainer = cfg.get("trainer")
    for key in trainer if isinstance(trainer, DictConfig) else ():
        _check_trainer(str(key), trainer[key], source)


def packages_of(cfg: DictConfig) -> list[str]:
    """The packages whose classes a config names; of one that the user composed they are trusted."""
    return sorted({str(node["_target_"]).partition(".")[0] for _, node in _nodes(cfg, "") if "_target_" in node})


def from_stranger(cfg: DictConfig) -> DictConfig:
    """A copy that writes and sends nothing where a stranger would have it: caches and trackers are the user's own.

    What it reads (corpora, vectors, lexicons) stays as it is said: that is what such a config is for.
    """
    own = OmegaConf.create(OmegaConf.to_container(cfg))
    assert isinstance(own, DictConfig)
    for _, node in _nodes(own, ""):
        if "cache_dir" in node:
            node["cache_dir"] = None
    logger = own.get("logger") or {}
    for key, value in (("base_url", "https://api.wandb.ai"), ("entity", None)):
        if key in logger:
            own.logger[key] = value
    return own


def _nodes(node: Any, place: str) -> Iterator[tuple[str, DictConfig]]:
    """All mappings within, by their places."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        yield place, node
        for key in node:
            yield from _nodes(node._get_node(key), _joined(place, key))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for number in range(len(node)):
            yield from _nodes(node._get_node(number), f"{place}.{number}")


def _refuse_references(node: Any, source: Path, place: str) -> None:
    """A run's config is resolved: what refers to something else, to the environment say, was put there."""
    if node is None:
        return
    if node._is_interpolation():
        raise UserError(f"{source}: {place}: {node._value()!s} refers to something else; the config of a run does not.")
    if isinstance(node, DictConfig | ListConfig) and not node._is_none() and not node._is_missing():
        keys: Any = list(node) if isinstance(node, DictConfig) else range(len(node._content))  # type: ignore[arg-type]
        for key in keys:
            _refuse_references(node._get_node(key), source, _joined(place, key))


def _joined(place: str, key: Any) -> str:
    return f"{place}.{key}".lstrip(".")


def _check_target(target: str, place: str, source: Path, packages: Sequence[str]) -> None:
    group = place.partition(".")[0]
    if target.partition(".")[0] in packages and target.partition(".")[0] != "ner_lab":
        return
    if group in _ALONE:
        fits = place == group and target == _ALONE[group]
    else:
        fits = group in _ROOMS and _is_class_of(target, f"ner_lab.{group}")
    if not fits:
        package = target.partition(".")[0]
        raise UserError(
            f"{source}: {place}._target_ is {target}, which is not a class of ner_lab for this place; nothing of it "
            f"was run. If {package} is a package of your own, say so: {TRUST}={package} ner-lab ..., or "
            f"ner_lab.load(DIR, trust=['{package}'])."
        )


def _is_class_of(target: str, room: str) -> bool:
    """Whether this is the full name of a class that is defined in a module of this room."""
    module, _, name = target.rpartition(".")
    if not module.startswith(f"{room}.") or not all(part.isidentifier() for part in target.split(".")):
        return False
    place = Path(__file__).parent.joinpath(*module.split(".")[1:])
    if not place.with_suffix(".py").is_file():  # so that nothing is imported but modules of ours
        return False
    found = vars(importlib.import_module(module)).get(name)
    return isinstance(found, type) and found.__module__ == module


def _check_trainer(key: str, value: Any, source: Path) -> None:
    """The trainer takes plugins, callbacks and loggers, too, which a config of ours never states."""
    plain = value is None or isinstance(value, str | int | float | bool)
    plain = plain or (isinstance(value, ListConfig) and all(type(one) is int for one in value))
    if not plain:
        raise UserError(f"{source}: trainer.{key}: the config of a run does not say that.")
