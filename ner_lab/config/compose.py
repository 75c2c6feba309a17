"""Compose configs from the files of `conf/`, and check every key."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from ner_lab.config.naming import SEED, job_folder
from ner_lab.config.renames import current_words, rename_keys
from ner_lab.errors import UserError, invalid_value, nearest
from ner_lab.version import PACKAGE

CONF_DIR = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
"""The configs: inside an installed package, or beside it in a checkout."""

_PARTS = ("word_embedding", "char_encoder", "features", "encoder", "decoder")
_HELP = ("header", "footer")
_FREE = "paper"  # the group whose options set keys of other groups


def register_resolvers() -> None:
    """`${run_name:}`: the run folder's name from data (and paper) and the option names of the parts.

    `${sweep_name:TIME}`: name of the study or of its file, else the time, for the folder of a study; `${job_name:}`:
    the overrides of a job of a study, for its folder within.
    """
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
    OmegaConf.register_new_resolver("sweep_name", _sweep_name, replace=True)
    OmegaConf.register_new_resolver("job_name", _job_name, replace=True)


def _sweep_name(time: str, *, _root_: DictConfig) -> str:
    return study_name(_root_, OmegaConf.select(_root_, "hydra.job.config_name")) or f"sweep/{time}"


def study_name(cfg: DictConfig, config_name: str | None) -> str | None:
    """Name of a config's study: as set, or that of its file; None outside studies."""
    file = str(config_name or "config").removesuffix(".yaml")
    name = OmegaConf.select(cfg, "study.name")
    return str(name or file) if name is not None or file != "config" else None


def _job_name(*, _root_: DictConfig) -> str:
    overrides = override_parser()(list(OmegaConf.select(_root_, "hydra.overrides.task") or ()))
    choices = {str(one.get_key_element()): str(one.get_value_element_as_str()) for one in overrides}
    seed = choices.pop(SEED, str(_root_.seed))
    return job_folder(choices, seed)


def _run_name(*, _root_: DictConfig) -> str:
    choices = OmegaConf.select(_root_, "hydra.runtime.choices")
    if choices is None and HydraConfig.initialized():
        choices = HydraConfig.get().runtime.choices
    if choices is None:
        return "run"
    if (name := run_name_of(choices)) is None:
        group = next(group for group in ("data", *_PARTS) if not isinstance(choices.get(group), str))
        raise UserError(f"{group} needs one option: {group}={'|'.join(options_of(group))}.")
    return name


def run_name_of(choices: Mapping[str, Any]) -> str | None:
    """`PAPER/DATA/PARTS`, from the options of the groups; None if a group has none."""
    if not all(isinstance(choices.get(group), str) for group in ("data", *_PARTS)):
        return None
    paper = choices.get("paper") or "none"
    place = choices["data"] if paper == "none" else f"{paper}/{choices['data']}"
    return f"{place}/{'-'.join(str(choices[group]) for group in _PARTS)}"


def check_keys(cfg: DictConfig, choices: dict[str, str], config_dirs: Sequence[str] = ()) -> None:
    """Refuse keys of `cfg` that its group's option does not have without the paper or study file.

    Hydra refuses unknown keys on the command line, but silently merges those of a paper file.
    """
    _compare(cfg, _usual(choices, config_dirs), "")


def _usual(choices: Mapping[str, str], config_dirs: Sequence[str] = ()) -> DictConfig:
    """The config of these options as in their files, without the paper's settings."""
    # an option placed elsewhere, as +features@features.parts.caps=caps, is a new name there
    groups = {
        name: choice
        for name, choice in choices.items()
        if not name.startswith("hydra/") and name != _FREE and "@" not in name
    }
    return compose_config([*(f"{name}={choice}" for name, choice in groups.items()), f"{_FREE}=none"], config_dirs)


def _compare(cfg: DictConfig, known: DictConfig, place: str) -> None:
    for name in map(str, cfg):
        _compare_key(name, cfg, known, place)


def _compare_key(name: str, cfg: DictConfig, known: DictConfig, place: str) -> None:
    where = f"{place}{name}"
    siblings = [str(sibling) for sibling in known]
    if name not in siblings:
        raise UserError(
            f"unknown config key '{where}'{nearest(name, siblings)} "
            f"{place.rstrip('.') or 'The config'} takes: {', '.join(siblings)}."
        )
    if where in OPEN_KEYS:
        return
    inner, known_inner = cfg._get_node(name), known._get_node(name)
    if not isinstance(known_inner, DictConfig):
        _check_kind(where, cfg, known, name)
    elif isinstance(inner, DictConfig) and not inner._is_none():
        _compare(inner, known_inner, f"{where}.")
    else:
        raise UserError(f"{where} is '{cfg[name]}', but it has keys of its own: {', '.join(map(str, known_inner))}.")


def _check_kind(where: str, cfg: DictConfig, known: DictConfig, name: str) -> None:
    """Refuse a change of type of a number, integer or switch; a value that is null by default may become anything."""
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
        raise invalid_value(where, given, f"{expected}, such as {usual}")


_OPEN_VALUES = {"trainer.devices", "trainer.deterministic"}  # they take words as well as numbers and switches
OPEN_KEYS = {  # their keys are names chosen by the user
    *(
        "data.columns",
        "data.local",
        "data.map_types",
        "data.counts",
        "features.parts",
        "features.ngrams",
        "features.lexicons",
        "features.entries",
        "study.factors",
        "study.published",
    ),
}


def compose_config(
    overrides: Sequence[str], config_dirs: Sequence[str] = (), name: str = "config", *, with_hydra: bool = False
) -> DictConfig:
    """Compose without running anything; works inside a Hydra application and outside.

    with_hydra: with the `hydra` node, which has the option chosen in each group.
    """
    words = readable(current_words(overrides))
    if config_dirs or with_hydra:
        path = [f"hydra.searchpath=[{','.join(map(_quoted_place, config_dirs))}]"] if config_dirs else []
        with _hydra_of(str(CONF_DIR), config_dirs):
            cfg = compose(name, overrides=[*words, *path], return_hydra_config=with_hydra)
        rename_keys(cfg)
        return cfg
    register_resolvers()
    return deepcopy(_of_the_package(name, tuple(words)))


@cache
def _of_the_package(name: str, words: tuple[str, ...]) -> DictConfig:
    """A config of the package's own files, which do not change; composing takes 0.15 s, a copy 0.006 s."""
    with _hydra_of(str(CONF_DIR), ()):
        return compose(name, overrides=[*words])


@contextmanager
def _hydra_of(folder: str, config_dirs: Sequence[str]) -> Iterator[None]:
    """Initialise Hydra with the configs of a folder, and afterwards restore the surrounding application, if any.

    config_dirs: folders in which a file that is not UTF-8 is named.
    """
    register_resolvers()
    instance = GlobalHydra.instance()
    outer = instance.hydra
    instance.hydra = None
    try:
        with files_named(config_dirs), initialize_config_dir(folder, version_base="1.3"):
            yield
    finally:
        instance.hydra = outer


def compose_study(file: Path, overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """A job of the study in `file`: its config, and its option of each group."""
    folder = str(file.parent.absolute())
    with _hydra_of(folder, [folder]):
        path = f"hydra.searchpath=[{_quoted_place(str(CONF_DIR))}]"
        cfg = compose(file.stem, overrides=[*current_words(overrides), path], return_hydra_config=True)
    rename_keys(cfg)
    choices = {str(key): str(value) for key, value in cfg.hydra.runtime.choices.items()}
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def override_parser(config_loader: ConfigLoader | None = None) -> Callable[[list[str]], list[Override]]:
    """Hydra's parser of overrides, which also accepts values beyond ASCII without quotes."""
    parse = OverridesParser.create(config_loader=config_loader).parse_overrides
    return lambda words: parse(readable(words))


def quoted(text: str) -> str:
    """A value quoted for Hydra's override grammar, whatever it contains."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"


def _quoted_place(folder: str) -> str:
    """A folder as an item of `hydra.searchpath`."""
    return quoted(f"file://{Path(folder).absolute()}")


def data_section(
    overrides: Sequence[str], base: DictConfig | None = None, config_dirs: Sequence[str] = ()
) -> DictConfig:
    """The `data` group under `overrides`: that of `base`, unless they choose another option.

    config_dirs: folders with options of the user's own.
    """
    check_words(overrides)
    if base is None or any(item.startswith("data=") for item in overrides):
        return compose_config([*overrides], config_dirs)
    cfg = OmegaConf.create({"data": base.data})
    apply_overrides(cfg, overrides, config_dirs)
    return cfg


def apply_overrides(
    cfg: DictConfig, overrides: Sequence[str], config_dirs: Sequence[str] = (), choices: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Change a composed config as Hydra would have composed it: groups before keys, values by Hydra's grammar.

    Args:
        choices: the option of each group in `cfg`.

    Returns:
        The new option of each group.

    Raises:
        UserError: for a group, option or key that does not exist, and for values of the wrong type for the key.
    """
    check_words(overrides)
    parsed = override_parser()(current_words(overrides))
    for override in parsed:
        if override.is_sweep_override():
            raise UserError(f"'{override.input_line}' gives several values, and this is one run. Give one.")
        if str(override.key_or_group).startswith("hydra"):
            raise UserError(f"'{override.input_line}': of Hydra's own settings only hydra.run.dir can be given here.")
    chosen = dict(choices or {})
    options = [one for one in parsed if is_group(str(one.key_or_group), config_dirs)]
    keys = [one for one in parsed if not is_group(str(one.key_or_group), config_dirs)]
    for override in sorted(options, key=lambda one: one.package is not None):  # complete groups first
        _choose(cfg, chosen, override, config_dirs)
    # values of a group whose option is unknown here can only be checked by its class
    known = {name: one for name, one in chosen.items() if one in options_of(name.partition("@")[0], config_dirs)}
    usual = _usual(known, config_dirs)
    with open_dict(usual):
        for name in [name for name in map(str, usual) if is_group(name, config_dirs) and name not in known]:
            del usual[name]
    for override in keys:
        _set_key(cfg, override, usual)
    return chosen


def _choose(cfg: DictConfig, chosen: dict[str, str], override: Override, config_dirs: Sequence[str]) -> None:
    """Take another option of a group, in its place or in another (`features@features.parts.caps`)."""
    group, place = str(override.key_or_group), override.package
    if override.is_delete():
        raise UserError(f"'{override.input_line}': remove the key itself, ~{place}.")
    option, options = str(override.value()), options_of(group, config_dirs)
    if option not in options:
        raise UserError(f"{group} has no option '{option}'{nearest(option, options)} Options: {', '.join(options)}.")
    composed = compose_config([f"{group}={option}"], config_dirs, with_hydra=True)
    if place is not None:
        _put(cfg, place, composed[group], override, merge=False)
        chosen[f"{group}@{place}"] = option
        return
    cfg[group] = composed[group]

    def belongs(name: str) -> bool:
        return name == group or name.partition("@")[2].startswith(f"{group}.")

    for name in [name for name in chosen if belongs(name)]:
        del chosen[name]
    chosen |= {str(name): str(one) for name, one in composed.hydra.runtime.choices.items() if belongs(str(name))}


def _set_key(cfg: DictConfig, override: Override, usual: DictConfig) -> None:
    key = str(override.key_or_group)
    place, _, name = key.rpartition(".")
    if override.is_delete():
        holder = OmegaConf.select(cfg, place) if place else cfg
        if not isinstance(holder, DictConfig) or name not in holder:
            raise UserError(f"'{override.input_line}': there is no {key} here.")
        with open_dict(holder):
            del holder[name]
        return
    _put(cfg, key, override.value(), override)
    holder, known = (OmegaConf.select(one, place) if place else one for one in (cfg, usual))
    if isinstance(known, DictConfig) and name in known:
        _compare_key(name, holder, known, f"{place}." if place else "")


def _put(cfg: DictConfig, key: str, value: Any, override: Override, *, merge: bool = True) -> None:
    """Set a key that exists, or add one with a plus sign where names are the user's, as Hydra does.

    merge: a mapping changes only its own keys; without, it replaces the previous one.
    """
    place, _, name = key.rpartition(".")
    holder = OmegaConf.select(cfg, place) if place else cfg
    exists = isinstance(holder, DictConfig) and name in holder
    if exists and override.is_add():
        raise UserError(already_there(key))
    if not exists and not any(f"{key}.".startswith(f"{free}.") for free in OPEN_KEYS):
        raise UserError(f"unknown config key '{key}'{nearest(key, all_keys())}")
    if not exists and not (override.is_add() or override.is_force_add()):
        raise UserError(new_there(key))
    if not isinstance(holder, DictConfig):
        raise UserError(f"'{override.input_line}': there is no {place} here.")
    with flag_override(cfg, "struct", True):
        OmegaConf.update(cfg, key, value, merge=merge, force_add=not exists)


def already_there(key: str) -> str:
    """The error for `+KEY=VALUE` if the key exists."""
    return f"'{key}' is there already: change it without the plus sign, {key}=..."


def new_there(key: str) -> str:
    """The error for `KEY=VALUE` if names are the user's and this one does not exist."""
    return f"'{key}' is a new name there: add it with a plus sign, +{key}=..."


def _folders(config_dirs: Sequence[str]) -> list[str]:
    return [str(CONF_DIR), *config_dirs]


def is_group(key: str, config_dirs: Sequence[str] = ()) -> bool:
    """Whether a key is a config group, built-in or from the user's own folders."""
    return "." not in key and any(Path(folder, key).is_dir() for folder in _folders(config_dirs))


def readable(words: Sequence[str]) -> list[str]:
    """Overrides with values beyond ASCII in quotes, since Hydra's grammar refuses these characters unquoted."""
    return [word if word.isascii() or word.startswith("-") else _readable(word) for word in words]


_PIECE = re.compile(r"[^\s\[\]{}(),:'\"][^\[\]{}(),:'\"]*")  # of a list, mapping or choice(...)


def _readable(word: str) -> str:
    """The override with the fewest quotes that parses; unchanged if quotes do not help."""
    key, _, value = word.partition("=")

    def in_quotes(text: str) -> str:
        return text if text.isascii() else quoted(text)

    attempts = [value, _PIECE.sub(lambda piece: in_quotes(piece[0].rstrip()), value)]
    if not value.startswith(("[", "{")):
        attempts += [",".join(map(in_quotes, value.split(","))), quoted(value)]
    for attempt in attempts:
        try:
            OverridesParser.create().parse_overrides([f"{key}={attempt}"])
        except HydraException:
            continue
        return f"{key}={attempt}"
    return word


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
        for item in map(str, OmegaConf.select(cfg, "defaults", default=())):  # nested parts, as spelling@parts.spelling
            option, put, place = item.partition("@")
            if put:
                keys.update(_flat_keys(OmegaConf.load(file.with_stem(option)), f"{group}.{place}"))
    return sorted(keys - {""})


def options_of(group: str, config_dirs: Sequence[str] = ()) -> list[str]:
    """The options of a config group, including those of the user's own folders."""
    files = [file for folder in _folders(config_dirs) for file in Path(folder, group).glob("*.yaml")]
    return sorted({file.stem for file in files} - {"base"})


def options_with(group: str, name: str) -> list[str]:
    """The options of a group that have a key `name`, by its name within the group."""

    def keys_of(option: str) -> set[str]:
        cfg = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
        above = [str(item) for item in OmegaConf.select(cfg, "defaults", default=()) if "@" not in str(item)]
        return _flat_keys(cfg, "").union(*(keys_of(item) for item in above if item != "_self_"))

    return [option for option in options_of(group) if name in keys_of(option)]


_WITH_A_VALUE = {
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--package", "-p", "--cfg", "-c", "--info", "-i"),
}
"""Hydra's flags that take an argument."""
_WITH_ANY_VALUE = {"--config-dir", "-cd", "--config-path", "-cp"}  # names of folders may contain a `=`


def check_words(arguments: Sequence[str]) -> None:
    """Refuse, with a next step, command lines that Hydra would answer with a traceback or a message of its own."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.startswith("~"):
            _check_deletion(word)
            continue
        if word.startswith("-") or before in _WITH_A_VALUE:
            continue
        key, equals, value = word.partition("=")
        group = key.lstrip("+")
        if key.lstrip("+") == "hydra.sweeper.direction" and "," in value:
            raise UserError(
                f"{word}: a search has one direction: the value of a job is its dev F1. Set "
                "hydra.sweeper.direction=maximize."
            )
        if not equals or not group:
            raise UserError(f"'{word}': expected KEY=VALUE, such as seed=2. ner-lab train --help lists what there is.")
        if (CONF_DIR / group).is_dir() and (value in ("", "null") or value.startswith(("[", "{"))):
            none = "none" in options_of(group)
            raise UserError(
                f"{word}: a group takes one option, {group}={'|'.join(options_of(group))}."
                + (f" Without any it is {group}=none." if none else "")
            )


def _check_deletion(word: str) -> None:
    """Refuse to remove a key that a class needs: only keys named by the user can be removed."""
    key = word[1:].partition("=")[0]
    inside = any(key.startswith(f"{free}.") for free in OPEN_KEYS)
    if inside or "@" in key or key.startswith("hydra"):
        return
    if is_group(key):
        none = f" Without any it is {key}=none." if "none" in options_of(key) else ""
        raise UserError(f"{word}: {key} needs one option: {key}={'|'.join(options_of(key))}.{none}")
    known = all_keys()
    keys = ", ".join(one for one in known if one.startswith(f"{key}."))
    if not keys and key not in known:
        raise UserError(f"{word}: unknown config key '{key}'{nearest(key, known)}")
    raise UserError(
        f"{word}: {key} cannot be left out. Give "
        + (f"its keys other values ({keys})." if keys else f"it another value, {key}=...")
    )


def flags_last(arguments: Sequence[str]) -> list[str]:
    """The same arguments with flags after overrides: between them Hydra accepts none."""
    flags: list[str] = []
    overrides: list[str] = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        of_a_flag = word.startswith("-") or (before in _WITH_A_VALUE and "=" not in word) or before in _WITH_ANY_VALUE
        (flags if of_a_flag else overrides).append(word)
    return [*overrides, *flags]


@contextmanager
def files_named(config_dirs: Sequence[str]) -> Iterator[None]:
    """While configs are composed, name a file of these folders that is not UTF-8; Hydra does not name it."""
    try:
        yield
    except UnicodeDecodeError as error:
        for folder in map(Path, config_dirs):
            for file in sorted([*folder.glob("*.yaml"), *folder.glob("*/*.yaml")]):
                if bytes(error.object) in file.read_bytes():
                    read_config_text(file)
        raise


def read_config_text(file: Path) -> str:
    """A config file of the user's own; UserError with the line if it is not UTF-8."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{file}:{line}: byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        ) from None


def find_conflicting_overrides(overrides: Sequence[str]) -> list[str]:
    """Describe overrides given twice with different values on a command line; the last one counts."""
    found: dict[str, list[str]] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        found.setdefault(key.lstrip("+~"), []).append(value)
    return [
        f"{key} is given as {', then '.join(values)}: the last one counts"
        for key, values in found.items()
        if len(set(values)) > 1
    ]


def help_of_train() -> str:
    """The text of `ner-lab train --help`: what Hydra makes of its help config, in a fraction of the time."""
    config: Any = OmegaConf.to_container(OmegaConf.load(CONF_DIR / "hydra" / "help" / "ner_lab.yaml"))
    groups = sorted(folder.name for folder in CONF_DIR.iterdir() if folder.is_dir() and folder.name != "hydra")
    lines = "".join(f"{group}: {', '.join(options_of(group))}\n" for group in groups)
    text = str(config["template"])
    for name, part in (("$APP_CONFIG_GROUPS", lines), *((f"${{hydra.help.{key}}}", config[key]) for key in _HELP)):
        text = text.replace(name, part)
    return text


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
