"""Find and read study files."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ner_lab.config.compose import CONF_DIR, override_parser, read_config_text
from ner_lab.config.grid import Job, expand
from ner_lab.config.renames import rename_keys
from ner_lab.errors import UserError

SWEEPS_DIR = CONF_DIR.parent / "sweeps"
"""The studies that come with the package."""


def studies(*folders: Path) -> dict[str, Path]:
    """Studies by name, those of earlier folders first."""
    found: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.yaml")):
            found.setdefault(file.stem, file)
    return found


def read_study_file(file: Path) -> DictConfig:
    """The content of a study file itself; UserError if it is not one."""
    read_config_text(file)
    found = OmegaConf.load(file)
    if not isinstance(found, DictConfig) or not found:
        kind = "nothing in it" if not found else "a list"
        raise UserError(f"{file}: {kind}, and a study has keys: defaults: [config, _self_], study, hydra.")
    if not isinstance(study := found.get("study", OmegaConf.create({})), DictConfig):
        raise UserError(f"{file}: study is '{study}'. It has keys of its own: name, question, factors, baseline.")
    rename_keys(found)
    for place in ("study.factors", "study.published", "hydra.sweeper.variants", "hydra.sweeper.params"):
        if (given := OmegaConf.select(found, place)) is not None and not isinstance(given, DictConfig):
            raise UserError(f"{file}: {place} is '{given}'. It has keys of its own, KEY: VALUE, a line each.")
    return found


def jobs_of(study: DictConfig) -> list[Job]:
    """All jobs of a study file, in its order; none for a search, which chooses them as it runs."""
    if any("optuna" in str(entry) for entry in study.get("defaults") or ()):
        return []
    params = OmegaConf.select(study, "hydra.sweeper.params") or {}
    variants = OmegaConf.select(study, "hydra.sweeper.variants") or {}
    return expand(override_parser(), params, variants, [], seed=1)
