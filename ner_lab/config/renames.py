"""Names of classes and keys in older run folders, study files and command lines, and the current names."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)

_MODULES = {
    "word_embedding.file": "models.word_embedding.pretrained",
    "decoder.crf_pairwise": "models.decoder.pairwise_crf",
    "decoder.direct": "models.decoder.feature_scores",
    "decoder.stack_lstm": "models.decoder.stack_lstm.decoder",
    "encoder.lstm_two_pass": "models.encoder.two_pass",
    "encoder.sentence_network": "models.encoder.sentence",
    "logger.wandb": "tracking.wandb.tracker",
    "logger.tracker": "tracking.base",
    "optimizer.recipe": "training.optimizers.base",
    "word_embedding": "models.word_embedding",
    "char_encoder": "models.char_encoder",
    "features": "models.features",
    "encoder": "models.encoder",
    "decoder": "models.decoder",
    "optimizer": "training.optimizers",
    "logger": "tracking",
}
"""Module or package below `ner_lab` -> its path in the current layout; the first match counts."""

_MERGED = {
    **dict.fromkeys(("bilstm", "birnn", "lstm", "rnn"), "models.encoder.recurrent"),
    **dict.fromkeys(("word2vec", "skip_ngram"), "models.word_embedding.pretrained"),
    **dict.fromkeys(("adamw", "nadam"), "training.optimizers.adam"),
}
"""Module in the package of its successor -> the module that has its classes."""

_KEYS: dict[str, str | None] = {
    "explode_above": "max_loss",
    "fail_below": "min_dev_score",
    "state_every": None,
    "optimizer.clip_at": "optimizer.clip_value",
    "hydra.launcher.changed": "hydra.launcher.on_config_change",
    "hydra.sweeper.rows": "hydra.sweeper.variants",
    "hydra.sweeper.only": "hydra.sweeper.include",
}
"""Key -> its current name in the same section; None if it has no effect any more."""


def current_target(target: str) -> str:
    """The current name of a class (`_target_`)."""
    for old, new in _MODULES.items():
        if target.startswith(f"ner_lab.{old}."):
            target = f"ner_lab.{new}.{target.removeprefix(f'ner_lab.{old}.')}"
            break
    module, _, name = target.rpartition(".")
    package, _, last = module.rpartition(".")
    merged = _MERGED.get(last)
    return f"ner_lab.{merged}.{name}" if merged and package == f"ner_lab.{merged.rpartition('.')[0]}" else target


def current_words(words: Sequence[str]) -> list[str]:
    """Command-line overrides with the current names of their keys; one warning for each old name."""
    return [word for given in words if (word := _current_word(given)) is not None]


def _current_word(word: str) -> str | None:
    key, equals, value = word.partition("=")
    name = key.lstrip("+~")
    if name not in _KEYS:
        return word
    warn_deprecated(name)
    new = _KEYS[name]
    return None if new is None else f"{key.removesuffix(name)}{new}{equals}{value}"


def with_current_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by full key, as a study's file gives them, with current keys; one warning for each old name."""
    named = {}
    for key, value in values.items():
        if key in _KEYS:
            warn_deprecated(key)
        if (name := _KEYS.get(key, key)) is not None:
            named[name] = value
    return named


def rename_keys(cfg: DictConfig) -> None:
    """Give keys of a composed config, or of a study's file, their current names; one warning for each old name."""
    with open_dict(cfg):
        _rename(cfg, warn_deprecated)


def _rename(config: Any, note: Callable[[str], None]) -> None:
    """Give keys of a config, plain or OmegaConf's, their current names, in place; `note` gets each old name."""
    for old, new in _KEYS.items():
        *path, name = old.split(".")
        section = config
        for part in path:
            section = section.get(part) if isinstance(section, dict | DictConfig) else None
        if isinstance(section, dict | DictConfig) and name in section:
            note(old)
            value = section.pop(name)
            if new is not None:
                section[new.rpartition(".")[2]] = value


def warn_deprecated(old: str) -> None:
    """Log what to use in place of the key `old`."""
    new = _KEYS[old]
    advice = "has no effect; leave it out" if new is None else f"use {new}"
    log.warning("%s is deprecated: %s", old, advice)


def with_current_names(config: Any) -> Any:
    """A config as read from a run folder, plain or OmegaConf's, with the current names of classes and keys."""
    if OmegaConf.is_config(config):
        return OmegaConf.create(with_current_names(OmegaConf.to_container(config, resolve=False)))
    if not isinstance(config, dict):
        return config
    named = _with_current_targets(config)
    _rename(named, lambda old: None)
    return named


def _with_current_targets(config: Any) -> Any:
    if isinstance(config, dict):
        return {
            key: current_target(value) if key == "_target_" and isinstance(value, str) else _with_current_targets(value)
            for key, value in config.items()
        }
    return [_with_current_targets(value) for value in config] if isinstance(config, list) else config
