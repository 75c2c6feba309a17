"""Paths of a config."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf


def absolute_paths(cfg: DictConfig) -> None:
    """Make the config's paths absolute, so that a run can be used from any folder."""
    places = [("data", name) for name in ("dir", "train", "dev", "test", "cache_dir")]
    places += [("word_embedding", name) for name in ("path", "words")]
    for group, name in places:
        if (given := OmegaConf.select(cfg, f"{group}.{name}", throw_on_missing=False)) is not None:
            cfg[group][name] = _absolute(given)
    if "features" in cfg:
        _absolute_lists(cfg.features)


def _absolute_lists(section: DictConfig) -> None:
    """Make paths of lexicons absolute, anywhere among the features: a folder, or files without one."""
    for key in section:
        inner = section._get_node(key)
        if isinstance(inner, DictConfig) and not inner._is_none() and not inner._is_interpolation():
            _absolute_lists(inner)
    if "entries" not in section:
        return
    if section.get("dir") is not None:
        section.dir = _absolute(section.dir)
    elif section.get("url") is None:
        for category, files in section.entries.items():
            several = [files] if isinstance(files, str) else files
            section.entries[category] = [_absolute(file) for file in several]


def _absolute(place: str) -> str:
    return str(Path(place).expanduser().absolute())
