"""Class names in older run folders, and the current names."""

from typing import Any

from omegaconf import OmegaConf

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
"""Module or package below `ner_lab` -> its current path; the first match counts."""


def current_target(target: str) -> str:
    """The current name of a class (`_target_`)."""
    for old, new in _MODULES.items():
        if target.startswith(f"ner_lab.{old}."):
            return f"ner_lab.{new}.{target.removeprefix(f'ner_lab.{old}.')}"
    return target


def with_current_names(config: Any) -> Any:
    """A config as read from a run folder, plain or OmegaConf's, with current class names."""
    if OmegaConf.is_config(config):
        return OmegaConf.create(with_current_names(OmegaConf.to_container(config, resolve=False)))
    if isinstance(config, dict):
        return {
            key: current_target(value) if key == "_target_" and isinstance(value, str) else with_current_names(value)
            for key, value in config.items()
        }
    return [with_current_names(value) for value in config] if isinstance(config, list) else config
