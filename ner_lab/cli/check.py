"""`ner-lab check [OVERRIDES]`: try a composition without training it."""

import logging
import sys

from omegaconf import DictConfig, OmegaConf

from ner_lab.cli.app import config_dirs_of, run_command
from ner_lab.cli.parsers import check_parser
from ner_lab.config.compose import check_keys, check_words, compose_config, find_conflicting_overrides
from ner_lab.errors import UserError
from ner_lab.io.terminal import download_bar, start_logging, table

log = logging.getLogger(__name__)


def check(cfg: DictConfig) -> list[tuple[str, str, str, str]]:
    """Rows (group, class, size, what was checked), one per part; UserError if a part breaks its contract."""
    from ner_lab.config.instantiate import data_options_of
    from ner_lab.data.preparation import prepare
    from ner_lab.models.build import feature_set_of, word_embedding_of
    from ner_lab.training.train import check_values, try_parts

    check_values(cfg)
    prepared = prepare(data_options_of(cfg), feature_set_of(cfg), word_embedding_of(cfg), download_bar())
    return try_parts(cfg, prepared)


def _command() -> None:
    arguments = sys.argv[1:]
    start_logging()
    config_dirs, overrides = config_dirs_of(arguments)
    if flags := [word for word in overrides if word.startswith("-")]:
        raise UserError(f"'{flags[0]}': check takes overrides and --config-dir DIR. {check_parser().hint}")
    check_words(overrides)
    for twice in find_conflicting_overrides(overrides):
        log.warning("%s", twice)
    cfg = compose_config(overrides, config_dirs, with_hydra=True)
    choices = {str(name): str(option) for name, option in cfg.hydra.runtime.choices.items()}
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    check_keys(cfg, choices, config_dirs)
    rows = check(cfg)
    log.info(
        "%s\n\nall parts keep their contract", table(["part", "class", "size", "checked"], [list(row) for row in rows])
    )


def main() -> None:
    """Entry point of `ner-lab check`."""
    run_command(_command)


if __name__ == "__main__":
    main()
