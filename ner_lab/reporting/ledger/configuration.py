"""The configuration of a run: its chosen options, and the settings that these do not explain."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import compose_config, compose_study, options_of
from ner_lab.config.naming import SEED, configuration_name
from ner_lab.config.study_files import jobs_of, read_study_file

_NO_PART = ("logger", "trainer")
"""Groups whose option is not part of a configuration; what a trainer is set to is."""
_FREE = (
    *("seed", "threads", "run_name", "logger", "study", "hydra"),
    *("data.name", "data.dir", "data.train", "data.dev", "data.test", "data.local", "data.downloads"),
    *("data.licence", "data.counts", "data.verify", "data.cache_dir"),
    *("word_embedding.path", "word_embedding.words", "word_embedding.url", "word_embedding.checksum"),
    *("word_embedding.min_coverage", "trainer.accelerator", "trainer.deterministic", "trainer.profiler"),
    *("trainer.log_every_n_steps", "trainer.detect_anomaly"),
)
"""Keys that say where inputs lie, or how a run is watched, and no more."""
_LONGEST = 240  # maximum bytes of a folder name; file systems allow 255
_PLACE = re.compile(r"(^|[\s'\"\[{,=])(/|~|[A-Za-z]:\\)")


class Identity(NamedTuple):
    """The configuration of a run or of a job. choices: group -> option; settings: key -> value as text."""

    choices: Mapping[str, str]
    settings: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name as in studies, `char_encoder=cnn,decoder=crf`, settings last; without the data."""
        chosen = configuration_name({key: value for key, value in self.choices.items() if key != "data"})
        if not self.settings:
            return chosen
        name = f"{chosen},{configuration_name(self.settings)}"
        total = sha256(json.dumps(sorted(self.settings.items())).encode()).hexdigest()
        return name if len(name.encode()) <= _LONGEST else f"{chosen},{total[:8]}"


def identity_of(config: DictConfig, choices: Mapping[str, str], overrides: Sequence[str]) -> Identity:
    """The identity of a run, from its config.yaml and run.json.

    Settings are the values that differ from those given by the choices alone. If the choices are not
    options of the package, the settings are the overrides of the command line.
    """
    groups = {key: value for key, value in choices.items() if not key.startswith("hydra/")}
    given = beside(overrides, groups)
    if any(option not in options_of(group) for group, option in groups.items()):
        return Identity(_parts(groups), given)
    usual = _usual(tuple(sorted(groups.items())))
    return Identity(_parts(groups), _differing(_flat(config), usual, given))


@cache
def identity_of_job(file: Path, overrides: tuple[str, ...]) -> Identity:
    """The identity of a job of the study in `file`."""
    config, choices = compose_study(file, overrides)
    return identity_of(config, choices, overrides)


def beside(overrides: Sequence[str], choices: Mapping[str, str]) -> dict[str, str]:
    """Command-line overrides that are not covered by a key of `choices` and may affect the result."""
    pairs = [override.partition("=")[::2] for override in overrides]
    given = {key.lstrip("+~"): value.strip("'\"") for key, value in pairs}
    return {
        key: value
        for key, value in given.items()
        if key not in choices and key not in _NO_PART and not _is_free(key) and not _PLACE.search(value)
    }


def rows_of(identity: Identity, files: Mapping[str, Path]) -> dict[str, str]:
    """The studies with a row for this configuration: study name -> the row's configuration."""
    return {name: row for name, file in files.items() if (row := _row_of(identity, file)) is not None}


def _row_of(identity: Identity, file: Path) -> str | None:
    study = read_study_file(file)
    defaults = dict(re.findall(r"override /?(\w+): (\w+)", " ".join(map(str, _defaults(study)))))
    for choices, configuration, overrides in _rows(file):
        given = defaults | {key: value for key, value in choices.items() if "." not in key and "@" not in key}
        if any(identity.choices.get(key, value) != value for key, value in given.items()):
            continue
        if identity_of_job(file, overrides) == identity:
            return configuration
    return None


@cache
def _rows(file: Path) -> list[tuple[Mapping[str, str], str, tuple[str, ...]]]:
    """Choices, name and overrides of each configuration of a study."""
    rows: dict[str, tuple[Mapping[str, str], str, tuple[str, ...]]] = {}
    for job in jobs_of(read_study_file(file)):
        overrides = tuple(word for word in job.overrides if not word.startswith(f"{SEED}="))
        rows.setdefault(job.configuration, (job.choices, job.configuration, overrides))
    return list(rows.values())


def _defaults(study: DictConfig) -> list[Any]:
    listed = study.get("defaults") or ()
    return [
        " ".join(f"{key}: {value}" for key, value in one.items()) if OmegaConf.is_dict(one) else one for one in listed
    ]


def _parts(groups: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in sorted(groups.items()) if key not in _NO_PART}


@cache
def _usual(choices: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return _flat(compose_config([f"{group}={option}" for group, option in choices]))


def _differing(config: Mapping[str, str], usual: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Values that differ; of keys in only one of them, only those in `given`: the others are from other versions."""
    return {
        key: value
        for key, value in sorted(config.items())
        if (usual[key] != value if key in usual else any(_within(key, name) for name in given))
        and not _is_free(key)
        and not _PLACE.search(value)
    }


def _flat(config: DictConfig) -> dict[str, str]:
    tree = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    flat: dict[str, str] = {}

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(inner, f"{place}.{key}" if place else str(key))
        else:
            flat[place] = _word(value)

    walk(tree, "")
    return flat


def _word(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_word, value))}]"
    return str(value)


def _is_free(key: str) -> bool:
    return any(_within(key, free) for free in _FREE) or key.rpartition(".")[2] in ("dir", "_target_", "url", "checksum")


def _within(key: str, place: str) -> bool:
    return key == place or key.startswith(f"{place}.")
