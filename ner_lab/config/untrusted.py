"""Check an untrusted config: one read from a run folder, not composed from our own options.

A run folder may come from anybody. Its config names the classes that a tagger is built from, so each name is checked
before it is imported: it must be one of our classes, defined in the package of its config group, or a class of a
package that the user trusts. The config must not contain references (a run's config is resolved, so nothing of the
environment gets in), and must not name a download that would replace one of ours.

Not restricted: a config determines which files are read (corpora, vectors, lexicons), where downloads are stored
(`cache_dir`), and how large the tagger is. That is its purpose.
"""

import ast
import functools
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from omegaconf import DictConfig, ListConfig, OmegaConf

from ner_lab.config.renames import with_current_names
from ner_lab.errors import UserError, invalid_value
from ner_lab.io.safe_read import read_yaml
from ner_lab.version import PACKAGE

TRUST = "NER_LAB_TRUST"
"""Environment variable: packages whose classes may be built from a run folder, separated by commas; hosts as well."""

_ROOMS = ("word_embedding", "char_encoder", "features", "encoder", "decoder", "optimizer", "logger")
_PACKAGES = {"optimizer": "ner_lab.training.optimizers", "logger": "ner_lab.tracking"}
_ALONE = {"data": "ner_lab.data.options.DataOptions", "trainer": "pytorch_lightning.Trainer"}
_CONVERT = ("none", "partial", "object", "all")
_TEXTS = {  # words that the trainer accepts; each names something that Lightning itself registers
    **dict.fromkeys(("accelerator", "strategy", "precision", "deterministic", "devices"), re.compile(r"[\w,-]+")),
    "max_time": re.compile(r"[\d:]+"),
    "profiler": re.compile(r"simple|advanced|pytorch"),
}
_CONF = (PACKAGE / "conf", PACKAGE.parent / "conf")
"""Where our own options are, as in `ner_lab.config.compose`, which needs Hydra."""
_WANDB = "https://api.wandb.ai"


def read_config_file(path: Path, trusted: Sequence[str] = ()) -> DictConfig:
    """The checked config of a run; UserError if it cannot be read, or contains something forbidden."""
    cfg = with_current_names(read_yaml(path))
    if not isinstance(cfg, DictConfig):
        raise UserError(f"{path}: not the config of a run: it has no keys.")
    _refuse_references(cfg, path, "")
    for group in (*_ALONE, *_ROOMS):
        section: Any = cfg._get_node(group, validate_access=False)
        if not _is_mapping(section) or "_target_" not in section:
            raise UserError(f"{path}: not the config of a run: it has no {group}, or no {group}._target_.")
    check_config(cfg, path, trusted)
    return cfg


def check_config(cfg: DictConfig, source: Path, trusted: Sequence[str] = ()) -> None:
    """Refuse a config from `source` that contains references, or names classes outside those of its groups.

    trusted: packages (and hosts) accepted besides ours, like those of the environment variable `NER_LAB_TRUST`.
    """
    _refuse_references(cfg, source, "")
    names = {*trusted, *(name.strip() for name in os.environ.get(TRUST, "").split(","))} - {"", "ner_lab"}
    for place, node in _nodes(cfg, ""):
        if strange := [key for key in map(str, node) if key.startswith("_") and not _is_setting(key, node)]:
            raise UserError(f"{source}: {place}.{strange[0]}: the config of a run does not say that.")
        if "_target_" in node:
            _check_target(str(_value(node, "_target_")), place, source, names)
        if isinstance(_value(node, "url"), str):
            _check_download(node, place, cfg, source, names)
    trainer: Any = cfg._get_node("trainer", validate_access=False)
    for key in map(str, trainer if _is_mapping(trainer) else ()):
        if not key.startswith("_") and not _is_plain(trainer._get_node(key), _TEXTS.get(key)):
            raise UserError(f"{source}: trainer.{key}: the config of a run does not say that.")
    if "seed" in cfg and type(_value(cfg, "seed")) is not int:
        raise invalid_value(f"{source}: seed", _value(cfg, "seed"), "a whole number")


def packages_of(cfg: DictConfig) -> list[str]:
    """The packages and hosts that a config names; in a config composed by the user they are trusted."""
    found = set()
    for _, node in _nodes(cfg, ""):
        if "_target_" in node:
            found.add(str(node["_target_"]).partition(".")[0])
        if isinstance(url := _value(node, "url"), str):
            found.add(urlsplit(url).hostname or "")
    return sorted(found)


def from_stranger(cfg: DictConfig) -> tuple[DictConfig, list[str]]:
    """A copy that stores files and sends numbers where the user does, and the keys that were reset for this.

    Caches are in the user's own folder; runs at W&B go to the user's own entity, and offline if the config names
    another server than W&B's. What is read (corpora, vectors, lexicons) stays as it is set.
    """
    own = OmegaConf.create(OmegaConf.to_container(cfg))
    assert isinstance(own, DictConfig)
    reset = []
    for place, node in _nodes(own, ""):
        if _value(node, "cache_dir") is not None:
            node["cache_dir"] = None
            reset.append(f"{place}.cache_dir")
    if _value(own.logger, "entity") is not None:
        own.logger.entity = None
        reset.append("logger.entity")
    if _value(own.logger, "base_url") not in (None, _WANDB):
        own.logger.base_url, own.logger.mode = _WANDB, "offline"
        reset += ["logger.base_url", "logger.mode"]
    return own, reset


def check_server(cfg: DictConfig, source: Path) -> None:
    """Refuse to send a key from the environment to a server that only a run's config names.

    Each key of `wandb login` belongs to one host, and is sent nowhere else.
    """
    given = _value(cfg.logger, "base_url")
    held = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    if held and given not in (None, _WANDB) and "WANDB_BASE_URL" not in os.environ:
        raise UserError(
            f"{source}: logger.base_url is {given}, where your W&B key would be sent. If that is your server, say so: "
            f"WANDB_BASE_URL={given} ner-lab train --resume ... Otherwise set WANDB_MODE=offline and "
            f"WANDB_BASE_URL={_WANDB}."
        )


def _is_mapping(node: Any) -> bool:
    return isinstance(node, DictConfig) and not node._is_none() and not node._is_missing()


def _value(node: DictConfig, key: str) -> Any:
    """The value of a key, as plain data; None if there is none."""
    found: Any = node._get_node(key, validate_access=False)
    if found is None or found._is_none():
        return None
    return OmegaConf.to_container(found) if isinstance(found, DictConfig | ListConfig) else found._value()


def _nodes(node: Any, place: str) -> Iterator[tuple[str, DictConfig]]:
    """All mappings within, by their keys."""
    if _is_mapping(node):
        yield place, node
        for key in list(node):
            yield from _nodes(node._get_node(key), _joined(place, key))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for number in range(len(node)):
            yield from _nodes(node._get_node(number), _joined(place, number))


def _refuse_references(node: Any, source: Path, place: str) -> None:
    """Refuse references: a run's config is resolved, so a reference, such as to the environment, was added later."""
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


def _is_setting(key: str, node: DictConfig) -> bool:
    """Whether this is one of Hydra's keywords, with a value that our own options give it."""
    value = _value(node, key)
    if key == "_partial_":
        return type(value) is bool
    if key in ("_target_", "_convert_"):
        return isinstance(value, str) and (key == "_target_" or value in _CONVERT)
    return not key.endswith("_")


def _check_target(target: str, place: str, source: Path, packages: set[str]) -> None:
    group, package = place.partition(".")[0], target.partition(".")[0]
    if package in packages:
        _import_trusted(target, package, f"{source}: {place}._target_ is {target}")
        if _is_defined(target, package):
            return
        raise UserError(
            f"{source}: {place}._target_ is {target}, which {package} does not define; nothing of it was run."
        )
    if group in _ALONE:
        fits = place == group and target == _ALONE[group]
    else:
        fits = group in _ROOMS and _is_class_of(target, package_of(group))
    if not fits:
        raise UserError(
            f"{source}: {place}._target_ is {target}, which is not a class of ner_lab for this place; nothing of it "
            f"was run. If {package} is a package of your own, say so: {TRUST}={package} ner-lab ..., or "
            f"ner_lab.load(DIR, trust=['{package}'])."
        )


def _import_trusted(target: str, package: str, what: str) -> None:
    """Import the module of a class from a trusted package; it may be in the working directory.

    UserError if it cannot be imported.
    """
    module = target.rpartition(".")[0] or package
    try:
        if not _is_found(package):
            here = os.getcwd()
            sys.path.append(here)  # for this package alone: nothing else is searched there
            try:
                importlib.invalidate_caches()
                importlib.import_module(package)
            finally:
                sys.path.remove(here)
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise UserError(
                f"{what}, and there is no package {package} here. Run the command in the folder that contains it, or "
                "install it, or set PYTHONPATH."
            ) from None
        if not f"{module}.".startswith(f"{error.name}."):  # else there is no such module, and nothing is defined there
            raise UserError(f"{what}, which cannot be imported: {error}.") from error
    except Exception as error:
        raise UserError(f"{what}, which cannot be imported: {type(error).__name__}: {error}.") from error


def package_of(group: str) -> str:
    """The package that holds the classes of a config group."""
    return _PACKAGES.get(group, f"ner_lab.models.{group}")


def _is_found(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _is_class_of(target: str, room: str) -> bool:
    """Whether a module of this package defines this class; found in its source, so that nothing is imported."""
    module, _, name = target.rpartition(".")
    if not module.startswith(f"{room}.") or not all(part.isidentifier() for part in target.split(".")):
        return False
    source = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not source.is_file():
        return False
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in tree.body)


def _is_defined(target: str, package: str) -> bool:
    """Whether a trusted package defines this object itself, rather than importing it."""
    place, _, name = target.rpartition(".")
    try:
        found = vars(importlib.import_module(place)).get(name)
    except (ImportError, ValueError):
        return False
    module = getattr(found, "__module__", None)
    return callable(found) and isinstance(module, str) and f"{module}.".startswith(f"{package}.")


def _check_download(node: DictConfig, place: str, cfg: DictConfig, source: Path, hosts: set[str]) -> None:
    """Refuse downloads that replace ours: a download is stored under the names of its corpus and its address."""
    url, checksum = str(node.url), _value(node, "checksum")
    address = urlsplit(url)
    if address.hostname in hosts:
        return
    ours = _our_downloads()
    if place.startswith("data.downloads.") and (corpus := str(_value(cfg.data, "name"))) not in ours:
        names = [corpus, PurePosixPath(address.path).name, *(_value(node, "splits") or {}).values()]
        plain = all(isinstance(name, str) and re.fullmatch(r"\w[\w.+ -]*", name) for name in names)
        fits = address.scheme == "https" and isinstance(checksum, str) and plain
    elif place.startswith("data.downloads."):
        fits = OmegaConf.to_container(node) in ours[corpus]
    else:
        fits = {"url": url, "checksum": checksum} in ours[""]
    if not fits:
        raise UserError(
            f"{source}: {place}.url is {url}. A run's config fetches what ner_lab's own options do, or, for a corpus "
            "with a name of its own, files by https with a checksum each, under names without a path. If you trust "
            f"{address.hostname}, say so: {TRUST}={address.hostname} ner-lab ..."
        )


@functools.cache
def _our_downloads() -> Mapping[str, list[Any]]:
    """The downloads of our own options: by corpus, and under no name all others with an address."""
    ours: dict[str, list[Any]] = {"": []}
    for file in next(place for place in _CONF if place.is_dir()).glob("*/*.yaml"):
        text = file.read_text(encoding="utf-8")
        section: Any = OmegaConf.create(text) if file.parent.name == "data" or "url: https" in text else {}
        if file.parent.name == "data":
            ours[file.stem] = _value(section, "downloads") or []
        else:
            found = [node for _, node in _nodes(section, "") if "url" in node]
            ours[""] += [{"url": node.url, "checksum": node.get("checksum")} for node in found]
    return ours


def _is_plain(node: Any, words: re.Pattern[str] | None) -> bool:
    """Whether a trainer setting is plain: plugins, callbacks, loggers and folders never occur in our configs.

    Values that name a class have already been checked.
    """
    if _is_mapping(node):
        return "_target_" in node or all(type(node[key]) in (int, float) for key in node)
    if isinstance(node, ListConfig):
        return node._is_none() or (not node._is_missing() and all(type(one) is int for one in node))
    value = node._value()
    return value is None or isinstance(value, int | float) or (words is not None and bool(words.fullmatch(str(value))))
